// peers.mjs - The rules of ../work.lua in json-rules-engine and json-logic-js, one process each.
//
//     node peers.mjs NAME WORK.json SECONDS
//
// Run where the packages of package.json are installed (../script does). Rules
// are compiled and mindscapes made into each engine's facts beforehand; what is
// timed is one evaluation of all rules. Results are checked against 'fired'.
// Prints one JSON line.
//
// SPDX-License-Identifier: MIT
import { readFileSync } from "node:fs";

const [name, file, seconds] = process.argv.slice(2);
const work = JSON.parse(readFileSync(file, "utf8"));
const key = (at) => `t${at}`; // No dots: json-logic would take them for steps.

// A mindscape as one object, what is missing left out.
const facts = work.people.map((values) => {
  const of = {};
  values.forEach((value, i) => {
    if (value !== null) of[key(i + 1)] = value;
  });
  return of;
});

async function json_rules_engine() {
  const { Engine } = await import("json-rules-engine");
  const engine = new Engine([], { allowUndefinedFacts: true });
  work.rules.forEach((rule, i) =>
    engine.addRule({
      conditions: {
        all: [
          { fact: key(rule.word_at), operator: "equal", value: rule.word },
          { fact: key(rule.number_at), operator: "greaterThan", value: rule.bound },
        ],
      },
      event: { type: "fired", params: { number: i + 1 } },
    }),
  );
  return async (of) => (await engine.run(of)).events.map((event) => event.params.number).sort((a, b) => a - b);
}

async function json_logic_js() {
  const logic = (await import("json-logic-js")).default;
  const rules = work.rules.map((rule) => ({
    and: [
      { "==": [{ var: key(rule.word_at) }, rule.word] },
      { ">": [{ var: key(rule.number_at) }, rule.bound] },
    ],
  }));
  return (of) => {
    const fired = [];
    for (let i = 0; i < rules.length; i++) {
      if (logic.apply(rules[i], of)) fired.push(i + 1);
    }
    return fired;
  };
}

const peers = { "json-rules-engine": json_rules_engine, "json-logic-js": json_logic_js };
const run = await peers[name]();

for (let i = 0; i < facts.length; i++) {
  const fired = await run(facts[i]);
  if (JSON.stringify(fired) !== JSON.stringify(work.fired[i])) {
    console.error(`${name}: other rules fire for mindscape ${i + 1}: ${fired}`);
    process.exit(1);
  }
}
let count = 0;
const start = process.hrtime.bigint();
const cpu = process.cpuUsage();
const end = start + BigInt(Math.round(Number(seconds) * 1e9));
while (process.hrtime.bigint() < end) {
  for (let i = 0; i < 50; i++, count++) {
    const fired = run(facts[count % facts.length]);
    if (fired instanceof Promise) await fired;
  }
}
const took = Number(process.hrtime.bigint() - start) / 1e9;
const used = process.cpuUsage(cpu);
console.log(
  JSON.stringify({
    bench: "script",
    subject: name,
    engine: `node ${process.versions.node}`,
    work: "50 rules over 200 traits",
    per_second: Math.round(count / took),
    cpu_us: (used.user + used.system) / count,
  }),
);
