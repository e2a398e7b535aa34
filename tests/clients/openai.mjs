// The official openai package against the gateway: prints what it understood as JSON.
import OpenAI from "openai";

const [, , baseURL, apiKey, model] = process.argv;
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const messages = [{ role: "user", content: "Weather in Paris?" }];
const found = {};

const tool = (ran) => ({
  type: "function",
  function: {
    name: "write",
    description: "Write a file",
    parse: JSON.parse,
    parameters: {
      type: "object",
      properties: { path: { type: "string" }, content: { type: "string" } },
      required: ["path", "content"],
    },
    function: (args) => {
      ran.push(args);
      return "written";
    },
  },
});

const plain = await client.chat.completions.create({ model, messages });
found.plain = plain.choices[0].message.content;
found.usage = plain.usage.total_tokens;

const stream = client.chat.completions.stream({ model, messages, stream_options: { include_usage: true } });
const final = await stream.finalChatCompletion();
found.streamed = final.choices[0].message.content;
found.streamedUsage = final.usage.total_tokens;

const ran = [];
const runner = client.chat.completions.runTools({ model, messages, stream: true, tools: [tool(ran)] });
found.afterTools = await runner.finalContent();
found.ran = ran;

const response = await client.responses.create({ model, input: "Hello" });
found.response = response.output_text;
let text = "";
const types = [];
for await (const event of await client.responses.create({ model, input: "Hello", stream: true })) {
  types.push(event.type);
  if (event.type === "response.output_text.delta") text += event.delta;
}
found.responseStreamed = text;
found.firstAndLast = [types[0], types.at(-1)];

const listed = [];
for await (const each of client.models.list()) listed.push(each.id);
found.models = listed;

try {
  await client.chat.completions.create({ model: "not-allowed", messages });
} catch (error) {
  found.error = [error.status, error.code, error.constructor.name];
}
console.log(JSON.stringify(found));
