-- All that counts for one client, judged and changed in one step. See base.py for what it promises.
--
-- KEYS   1 calls: sorted set, member "id:day:input:output" -> microsecond until which it is held
--        2 day: hash; d number of the day since 1970, r requests, i input tokens, o output tokens
--        3... windows: a hash each; u used, o oldest and n newest sub-window, and the amount in each by number
-- ARGV   1 words, separated by spaces: the operation, the time in microseconds (-: this server's), and what
--          the operation reads, in order
--
-- Numbers are doubles, exact up to 2^53: no product here exceeds it until the year 2255.

local PARTS = 60
local DAY = 86400000000

local words, at = {}, 0
for each in string.gmatch(ARGV[1], '%S+') do words[#words + 1] = each end

local function word()
  at = at + 1
  return words[at]
end

local function number()
  return tonumber(word())
end

local function text(value)
  return string.format('%.0f', value)
end

local operation, now = word(), number()
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end

-- Windows

local function part_at(time, span)
  local turns = math.floor(time / span)
  return turns * PARTS + math.floor((time - turns * span) * PARTS / span)
end

local function gone_at(part, span) -- the first microsecond at which it counts no more: the 61st after it begins
  local turns = math.floor((part + PARTS + 1) / PARTS)
  return turns * span + math.ceil((part + PARTS + 1 - turns * PARTS) * span / PARTS)
end

local function forget_before(window, part)
  local gone = {}
  for each = window.oldest, part - 1 do gone[#gone + 1] = text(each) end
  for _, amount in ipairs(redis.call('HMGET', window.key, unpack(gone))) do
    window.used = window.used - (tonumber(amount) or 0)
  end
  window.oldest = part
  redis.call('HDEL', window.key, unpack(gone))
  redis.call('HSET', window.key, 'u', text(window.used), 'o', text(window.oldest))
end

local function save(window)
  redis.call('HSET', window.key,
    'u', text(window.used), 'o', text(window.oldest), 'n', text(window.newest))
  redis.call('PEXPIRE', window.key, text(math.ceil(window.span / 1000 * (PARTS + 2) / PARTS)))
end

-- The clock of a server that takes over may be behind. Counts are taken along, with the age they have; for less
-- than a sub-window time stands still, so that nothing is taken for older than it is.
local function set_back(window, by)
  local saved, moved = redis.call('HGETALL', window.key), {}
  for index = 1, #saved, 2 do
    local part = tonumber(saved[index])
    if part then
      moved[#moved + 1] = text(part - by)
      moved[#moved + 1] = saved[index + 1]
    end
  end
  window.oldest, window.newest = window.oldest - by, window.newest - by
  redis.call('DEL', window.key)
  if #moved > 0 then redis.call('HSET', window.key, unpack(moved)) end
  save(window)
end

local function window_of(key, span)
  local saved = redis.call('HMGET', key, 'u', 'o', 'n')
  local window = {key = key, span = span, part = part_at(now, span)}
  window.used, window.oldest, window.newest = tonumber(saved[1]), tonumber(saved[2]), tonumber(saved[3])
  if not window.used or window.part - window.newest > PARTS then
    if window.used then redis.call('DEL', key) end
    window.used, window.oldest, window.newest = 0, window.part, window.part
    return window
  end
  if window.newest - window.part > 1 then set_back(window, window.newest - window.part - 1) end
  window.part = math.max(window.part, window.newest)
  if window.oldest < window.part - PARTS then forget_before(window, window.part - PARTS) end
  return window
end

local function add(window, amount)
  if amount == 0 then return end
  redis.call('HINCRBY', window.key, text(window.part), text(amount))
  window.used = window.used + amount
  window.newest = window.part
  save(window)
end

local function free_at(window, room) -- when no more than `room` of what counts now will count still
  local parts, left = {}, window.used
  for each = window.oldest, window.newest do parts[#parts + 1] = text(each) end
  for index, amount in ipairs(redis.call('HMGET', window.key, unpack(parts))) do
    left = left - (tonumber(amount) or 0)
    if left <= room then return gone_at(window.oldest + index - 1, window.span) end
  end
  return gone_at(window.newest, window.span)
end

local function put(window, part, amount)
  if part < window.part - PARTS then return end
  part = math.min(part, window.part)
  amount = math.max(amount, -(tonumber(redis.call('HGET', window.key, text(part))) or 0))
  if amount == 0 then return end
  redis.call('HINCRBY', window.key, text(part), text(amount))
  window.used = window.used + amount
  window.oldest, window.newest = math.min(window.oldest, part), math.max(window.newest, part)
  window.changed = true
end

local function change(window, time, amount) -- where something was counted at `time`, if that counts still
  put(window, part_at(time, window.span), amount)
  if window.changed then save(window) end
end

-- The day, and calls under way

local today = math.floor(now / DAY)

local function day_of()
  local saved = redis.call('HMGET', KEYS[2], 'd', 'r', 'i', 'o', 'hi', 'ho')
  local day = {number = tonumber(saved[1]) or 0}
  day.r, day.i, day.o = tonumber(saved[2]) or 0, tonumber(saved[3]) or 0, tonumber(saved[4]) or 0
  day.hi, day.ho = tonumber(saved[5]) or 0, tonumber(saved[6]) or 0
  return day
end

local function save_day(day)
  redis.call('HSET', KEYS[2], 'd', text(day.number), 'r', text(day.r), 'i', text(day.i), 'o', text(day.o),
    'hi', text(day.hi), 'ho', text(day.ho))
  redis.call('PEXPIRE', KEYS[2], text(2 * DAY / 1000))
end

local function set_day(day, number_)
  day.number, day.r, day.i, day.o, day.hi, day.ho = number_, 0, 0, 0, 0, 0
end

local function tokens_of(day, member) -- that a call has of this day
  local number_, input, output = string.match(member, ':(%d+):(%d+):(%d+)$')
  if tonumber(number_) ~= day.number or day.number == 0 then return 0, 0 end
  return tonumber(input), tonumber(output)
end

local function use(day, input, output)
  if input == 0 and output == 0 then return end
  day.i, day.o, day.changed = math.max(0, day.i + input), math.max(0, day.o + output), true
end

local function mark(day, input, output) -- as held by calls under way
  if input == 0 and output == 0 then return end
  day.hi, day.ho, day.changed = math.max(0, day.hi + input), math.max(0, day.ho + output), true
end

local function reserve(day, member)
  local input, output = tokens_of(day, member)
  use(day, input, output)
  mark(day, input, output)
end

local function release(day, member)
  local input, output = tokens_of(day, member)
  use(day, -input, -output)
  mark(day, -input, -output)
end

local function drop_dead(day) -- calls whose process does not renew them
  local dead = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(now))
  for _, member in ipairs(dead) do
    release(day, member)
    redis.call('ZREM', KEYS[1], member)
  end
end

local function hold(day, member, lease)
  if not redis.call('ZSCORE', KEYS[1], member) then reserve(day, member) end
  redis.call('ZADD', KEYS[1], text(now + lease), member)
  redis.call('PEXPIRE', KEYS[1], text(math.ceil(lease / 1000) + 1000))
end

local function begin(day) -- a clock that is set back over midnight does not make a new day
  if day.number ~= today and day.number ~= today + 1 then set_day(day, today) end
end

-- Operations

local operations = {}

-- enforce id lease requests input output tracked daily, windows: measure span, rules: where measure limit
-- -> the rule that refuses (from 1; 0: none) and its wait, the time, the day's input and output tokens that are held
--    by calls under way, and of each rule: used, reset
function operations.admit()
  local enforce, id, lease = word() == '1', word(), number()
  local cost = {r = number(), i = number(), o = number()}
  cost.t = cost.i + cost.o
  local tracked, daily = word() == '1', word() == '1'
  local windows, rules, day, running = {}, {}, nil, 0
  for index = 1, number() do
    local measure = word()
    windows[index] = window_of(KEYS[index + 2], number())
    windows[index].measure = measure
  end
  for index = 1, number() do
    rules[index] = {where = word(), measure = word(), limit = number()}
  end
  if tracked then
    day = day_of()
    drop_dead(day)
    if daily then begin(day) end
    day.t = day.i + day.o
    running = redis.call('ZCARD', KEYS[1])
  end

  local refused, ready = 0, now
  for index, rule in ipairs(rules) do
    local room, free = rule.limit - cost[rule.measure], now
    if rule.where == 'running' then
      if running >= rule.limit then free = now + 1000000 end
    elseif rule.where == 'day' then
      if day[rule.measure] > room then free = (day.number + 1) * DAY end
    else
      local window = windows[tonumber(rule.where)]
      if window.used > room then free = math.max(free_at(window, room), now + 1) end
    end
    if free > ready then refused, ready = index, free end
  end

  if refused == 0 or not enforce then
    for _, window in ipairs(windows) do add(window, cost[window.measure]) end
    if daily then
      day.r, day.i, day.o = day.r + cost.r, day.i + cost.i, day.o + cost.o
      day.t, day.changed = day.i + day.o, true
    end
    if id ~= '-' then
      local member = id .. ':' .. (daily and text(day.number) or '0') .. ':' .. text(cost.i) .. ':' .. text(cost.o)
      redis.call('ZADD', KEYS[1], text(now + lease), member)
      redis.call('PEXPIRE', KEYS[1], text(math.ceil(lease / 1000) + 1000))
      if daily then mark(day, cost.i, cost.o) end
      running = running + 1
    end
  end
  if tracked and day.changed then save_day(day) end

  local held = daily and day or {hi = 0, ho = 0}
  local told = {text(refused), text(ready - now), text(now), text(held.hi), text(held.ho)}
  for _, rule in ipairs(rules) do
    local used, reset
    if rule.where == 'running' then
      used, reset = running, now + 1000000
    elseif rule.where == 'day' then
      used, reset = day[rule.measure], (day.number + 1) * DAY
    else
      local window = windows[tonumber(rule.where)]
      used, reset = window.used, gone_at(window.newest, window.span)
    end
    told[#told + 1] = text(used)
    told[#told + 1] = text(used > 0 and reset - now or 0)
  end
  return table.concat(told, ' ')
end

-- member sure input output, windows: span time amount
-- An unsure settlement may have been made already: it is made only while the call is held.
function operations.settle()
  local member, sure = word(), word() == '1'
  local day, input, output = day_of(), number(), number()
  local held = redis.call('ZREM', KEYS[1], member) == 1
  if not held and not sure then return '' end
  if held then release(day, member) end
  use(day, tokens_of(day, string.match(member, '^[^:]+:%d+') .. ':' .. text(input) .. ':' .. text(output)))
  if day.changed then save_day(day) end
  for index = 1, number() do
    local window = window_of(KEYS[index + 2], number())
    change(window, number(), number())
  end
  return ''
end

-- lease, members
function operations.hold()
  local day, lease = day_of(), number()
  for _ = 1, number() do hold(day, word(), lease) end
  if day.changed then save_day(day) end
  return ''
end

function operations.ping() -- whether there is room, and leave, to write
  redis.call('SET', KEYS[1], '', 'PX', 1000)
  redis.call('DEL', KEYS[1])
  return ''
end

local function raise(day, other)
  day.r, day.i, day.o = math.max(day.r, other.r), math.max(day.i, other.i), math.max(day.o, other.o)
  day.changed = true
end

local function reach(day, number_) -- whether it is this day, or was older and is this one now
  if number_ > day.number then set_day(day, number_) end
  return number_ == day.number and number_ > 0
end

-- day requests input output
function operations.seed()
  local day, number_ = day_of(), number()
  if number_ >= today and reach(day, number_) then
    raise(day, {r = number(), i = number(), o = number()})
    save_day(day)
  end
  return ''
end

-- id (the last key is its mark), day, r i o to be added, r i o that this server knew at least once, members that
-- ended, members that are held, lease; windows: span, parts: number, amount to be added, amount it knew
-- What has ended is counted in what is to be added. Told twice, it is counted once.
function operations.merge()
  local day, number_ = day_of(), number()
  local new = {r = number(), i = number(), o = number()}
  local known = {r = number(), i = number(), o = number()}
  local first = redis.call('SET', KEYS[#KEYS], '', 'NX', 'PX', text(DAY / 1000))
  local mine = reach(day, number_)
  for _ = 1, number() do
    local member = word()
    local input, output = tokens_of(day, member)
    if redis.call('ZREM', KEYS[1], member) == 1 then
      mark(day, -input, -output)
    elseif first and mine then
      use(day, input, output) -- its lease ran out
    end
  end
  if first and mine then
    raise(day, known)
    day.r, day.i, day.o = day.r + new.r, math.max(0, day.i + new.i), math.max(0, day.o + new.o)
  end
  local members = {}
  for index = 1, number() do members[index] = word() end
  local lease = number()
  for _, member in ipairs(members) do hold(day, member, lease) end
  if day.changed then save_day(day) end
  for index = 1, first and number() or 0 do
    local window = window_of(KEYS[index + 2], number())
    local parts, missing = {}, -window.used
    for each = 1, number() do
      parts[each] = {number = number(), new = number(), known = number()}
      if parts[each].number >= window.part - PARTS then missing = missing + parts[each].known end
    end
    for each = #parts, 1, -1 do -- what is missing is the newest
      local part = parts[each]
      local lost = math.min(part.known, math.max(0, missing))
      missing = missing - lost
      put(window, part.number, lost + part.new)
    end
    if window.changed then save(window) end
  end
  return ''
end

return redis.status_reply(operations[operation]())  -- read in one step
