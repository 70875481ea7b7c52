// Runs the vectors of the specification. It is appended to the module's text, so that it reaches what is not exported.

const vectors = JSON.parse(fs.readFileSync(process.env["VECTORS"] as string, "utf8"));
let wrong = 0;

function same(section: string, at: number, got: unknown, wanted: unknown): void {
  const [one, other] = [sorted(got), sorted(wanted)];
  if (one === other) return;
  console.log(`${section}[${at}]: ${one}, not ${other}`);
  wrong += 1;
}

/** As JSON, with the members of objects in one order. */
function sorted(value: unknown): string {
  return JSON.stringify(value, (_, one) =>
    one !== null && typeof one === "object" && !Array.isArray(one)
      ? Object.fromEntries(Object.entries(one).sort(([a], [b]) => (a < b ? -1 : 1)))
      : one);
}

function each(section: string, check: (one: any, at: number) => void): void {
  vectors[section].forEach(check);
}

each("ids", (one, at) => same("ids", at, isId(one.text), one.valid));
same("ids", -1, isId(randomUUID()), true);
each("times", (one, at) => same("times", at, moment(one.microseconds / 1000), one.sent));
each("versions", (one, at) => same("versions", at, normal(one.given), one.sent));
each("values", (one, at) => same("values", at, storable(one.of.repeat(one.times)), one.kept));
[NaN, Infinity, 2 ** 63, "\ud800"].forEach((one, at) => same("values of JavaScript", at, storable(one), false));
each("names", (one, at) => {
  same("names", at, fileName(one.began, one.bytes, one.id), one.name);
  same("names", at, [began(one.name), size(one.name)], [Math.max(one.began, 0), one.bytes]);
});
each("limits", (one, at) => {
  const names = one.waiting.flatMap(([count, bytes]: [number, number]) => Array(count).fill(fileName(0, bytes, randomUUID())));
  same("limits", at, surplus(names, one.bytes), one.dropped);
});
each("due", (one, at) => {
  const now = 1_800_000_000_000;
  same("due", at, due(Array(one.waiting).fill(fileName(now - one.oldest * 1000, 2, randomUUID())), now), one.due);
});
each("delays", (one, at) => same("delays", at, delay(one.failures, one.chance) / 1000, one.seconds));
each("endpoints", (one, at) => same("endpoints", at, usable(one.given), one.used));
each("consent", (one, at) => {
  const [home, before, variables] = [fs.mkdtempSync("vectors-"), process.cwd(), { ...process.env }];
  process.chdir(home);
  Object.assign(process.env, { HOME: process.cwd(), XDG_STATE_HOME: join(process.cwd(), "state") }, one.environment);
  if (one.consent) write(join(stateDirectory(), "consent"), one.consent);
  if (one.projectFile) fs.writeFileSync(".do-not-track", "");
  fs.mkdirSync("project");
  process.chdir("project");
  const endpoint = usable(one.endpoint ?? "https://telemetry.my-tool.dev");
  same("consent", at, decide({ version: "1", endpoint }, stateDirectory()), [one.rule, one.recorded]);
  process.chdir(before);
  for (const name of Object.keys(process.env)) if (!(name in variables)) delete process.env[name];
  Object.assign(process.env, variables);
});
each("sessions", (one, at) => {
  const run = new Recorder({ version: one.version, endpoint: "" }, false) as any;
  Object.assign(run, { wall: one.start / 1000, recorded: true });
  for (const [name, value] of Object.entries(one.attributes)) run.set(name, value);
  run.recorded = false;
  run.events.push(...one.events.map((event: any) => ({ ...event, time: moment(event.time / 1000) })));
  run.spans.push(...one.spans.map((part: any) => ({ ...part, start: part.start / 1000, end: part.end === null ? null : part.end / 1000 })));
  const made = run.document(one.id, one.user, one.end / 1000);
  same("sessions", at, [made.includes("\n"), JSON.parse(made)], [false, one.document]);
});
console.log(`${wrong} wrong`);
process.exitCode = Math.min(wrong, 1);
