// The AI SDK with @ai-sdk/openai-compatible against the gateway: prints what it understood as JSON.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";

const [, , baseURL, apiKey, name] = process.argv;
const provider = createOpenAICompatible({ name: "gateway", baseURL, apiKey, includeUsage: true });
const model = provider(name);
const found = {};

const plain = await generateText({ model, prompt: "Hello", maxRetries: 0 });
found.plain = plain.text;
found.usage = plain.usage.totalTokens;

const ran = [];
const write = tool({
  description: "Write a file",
  inputSchema: jsonSchema({
    type: "object",
    properties: { path: { type: "string" }, content: { type: "string" } },
    required: ["path", "content"],
  }),
  execute: async (args) => {
    ran.push(args);
    return "written";
  },
});
const stream = streamText({
  model,
  prompt: "Write the file.",
  tools: { write },
  stopWhen: stepCountIs(3),
  maxRetries: 0,
  onError: ({ error }) => {
    found.streamError = String(error);
  },
});
let text = "";
for await (const piece of stream.textStream) text += piece;
found.afterTools = text;
found.ran = ran;
found.streamedUsage = (await stream.totalUsage).totalTokens;
found.finish = await stream.finishReason;

try {
  await generateObject({ model, schema: jsonSchema({ type: "object" }), prompt: "JSON", maxRetries: 0 });
} catch (error) {
  found.object = error.name; // the script says DONE, which is no JSON: the request itself must pass
}
console.log(JSON.stringify(found));
