// What a TypeScript SDK of Anthropic gets of the gateway: prints what it was told as JSON, like speaks.py.
import { createRequire } from "node:module";

const [folder, baseURL, apiKey, what] = process.argv.slice(2);
const require = createRequire(`${folder}/`);
const { Anthropic, APIError } = require("@anthropic-ai/sdk");
const { VERSION } = require("@anthropic-ai/sdk/version");

let attempts = 0;
const counting = (url, init) => (attempts++, fetch(url, init));
const client = new Anthropic({ baseURL, apiKey, fetch: counting });
const weather = { name: "weather", description: "of a city", input_schema: { type: "object", properties: {} } };
const asking = (content, more = {}) => ({
  model: "claude-opus-5-5", max_tokens: 100, messages: [{ role: "user", content }], inference_geo: "global", ...more,
});
const facts = (answer) => [
  answer.content[0].text, answer.stop_reason, answer.usage.input_tokens, answer.usage.output_tokens,
];
const whole = async (text, more) => facts(await client.messages.create(asking(text, more)));
const streamed = async (text) => facts(await client.messages.stream(asking(text)).finalMessage());

async function tool(stream) {
  const ask = asking("weather in Trento", { tools: [weather] });
  const first = stream ? await client.messages.stream(ask).finalMessage() : await client.messages.create(ask);
  const use = first.content.at(-1);
  const messages = [
    { role: "user", content: "weather in Trento" },
    { role: "assistant", content: first.content },
    { role: "user", content: [{ type: "tool_result", tool_use_id: use.id, content: "sunny" }] },
  ];
  return [use.name, use.input, first.stop_reason, (await whole("", { messages, tools: [weather] }))[0]];
}

async function counted() {
  const messages = [{ role: "user", content: "Hello" }];
  return (await client.messages.countTokens({ model: "claude-opus-5-5", messages })).input_tokens;
}

async function models() {
  const found = [];
  for await (const model of client.models.list()) found.push(model.id);
  return found;
}

async function tried(call) {
  attempts = 0;
  try {
    return [await call(), attempts];
  } catch (error) {
    if (!(error instanceof APIError)) throw error;
    return [[error.status ?? 200, error.error.error.message], attempts];
  }
}

const served = {
  "whole": () => whole("hello"),
  "streamed": () => streamed("hello"),
  "tool": () => tool(false),
  "tool, streamed": () => tool(true),
  "count_tokens": counted,
  "models": models,
  "overloaded once": () => whole("overloaded once"),
  "overloaded once, streamed": () => streamed("overloaded once, streamed"),
  "bad request": () => whole("bad request"),
  "stream that breaks": () => streamed("break"),
};
const refused = { "whole": served.whole, "streamed": served.streamed, "count_tokens": counted };
const told = {};
for (const [name, call] of Object.entries(what === "served" ? served : refused)) told[name] = await tried(call);
console.log(JSON.stringify([VERSION, told]));
