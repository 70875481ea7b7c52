// Records runs of a tool, with its users' consent and without costing them time.
//
// Written by `abaculus client typescript ID` from the tool's registry file, and not by hand. It needs Node 20.16 or newer
// and nothing else.
//
//     const run = start({ version: "1.4.0", endpoint: "https://telemetry.my-tool.dev" });

import { spawn, spawnSync } from "node:child_process";
import { createHash, randomUUID } from "node:crypto";
import * as fs from "node:fs";
import { homedir, platform } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { isatty } from "node:tty";

/** What the tool says about itself. Without a prompt nobody is asked. `inline` is for a disk that is thrown away. */
export interface Config {
  version: string;
  endpoint: string;
  prompt?: string;
  link?: string;
  inline?: boolean;
}

type Scalar = string | number | boolean | null;
type Attributes = Record<string, Scalar>;
interface Settings {
  directory: string;
  endpoint: string;
  leave: string;
  asked: boolean;
}

const MOST_FILES = 500;
const MOST_BYTES = 5_000_000;
const MANY = 20;
const OLD_ENOUGH = 3_600_000;
const SESSION_BYTES = 1 << 20;
const DAY = 86_400_000;

const attempt = <T>(act: () => T, otherwise: T): T => {
  try {
    return act();
  } catch {
    return otherwise;
  }
};
const text = (path: string): string => attempt(() => fs.readFileSync(path, "utf8"), "");
const said = (name: string): string => (process.env[name] ?? "").trim().toLowerCase();

// Consent

/** The rules of the specification: the first that applies decides. */
function decide(config: Config, directory: string): [string, boolean] {
  const choice = said(VARIABLE);
  if (!["", "0", "false", "no", "off"].includes(said("DO_NOT_TRACK"))) return ["DO_NOT_TRACK", false];
  if (!["", "1", "true", "yes", "on"].includes(choice)) return ["variable=0", false];
  if (forbidden()) return ["project", false];
  if (Object.keys(process.env).some((name) => /^(COMP_LINE|COMP_WORDS|_.*_COMPLETE)$/.test(name))) return ["completion", false];
  if (!config.endpoint) return ["endpoint", false];
  if (!directory || !ours(directory)) return ["place", false];
  const [answer, paths] = remembered(directory);
  if (answer === "retired") return ["retired", false];
  if (choice) return ["variable=1", true];
  if (answer === "denied") return ["denied", false];
  if (answer === "allowed") return more(paths).length ? ["more", false] : ["allowed", true];
  return ["unasked", false];
}

function forbidden(): boolean {
  for (let here = attempt(() => process.cwd(), ""); here; here = dirname(here)) {
    if (attempt(() => fs.lstatSync(join(here, ".do-not-track")), null)) return true;
    if (here === dirname(here)) break;
  }
  return false;
}

/** The endpoint without a slash at its end; empty unless it is https, or http to this very machine. */
function usable(endpoint: string): string {
  const found = /^(https?):\/\/(\[[0-9a-f:]+\]|[^/:]+)(:\d+)?(\/.*)?$/i.exec(endpoint);
  if (!found || /[^!-~]|[?#@\\]/.test(endpoint)) return "";
  const [, scheme, host] = found as unknown as [string, string, string];
  if (scheme.toLowerCase() === "http" && !["localhost", "127.0.0.1", "[::1]"].includes(host.toLowerCase())) return "";
  return endpoint.replace(/^https?/i, scheme.toLowerCase()).replace(/\/+$/, "");
}

function remembered(directory: string): [string, string[]] {
  const [answer = "", ...paths] = text(join(directory, "consent")).trim().split("\n");
  return [answer, paths];
}

const more = (paths: string[]): string[] => COLLECTS.filter((path) => !paths.includes(path));

function remember(directory: string, answer: string): void {
  const path = join(directory, "consent");
  if (answer === "allowed") return write(path, [answer, ...COLLECTS, ""].join("\n"));
  for (const name of ["queue", "aside"]) fs.rmSync(join(directory, name), { recursive: true, force: true });
  try {
    write(path, `${answer}\n`);
  } catch {
    fs.rmSync(path, { force: true }); // a full disk: better to ask again than to keep a yes
  }
}

function mayAsk(config: Config): boolean {
  // Not process.stdin, which would make reading from it return at once.
  if (!config.prompt || process.env["CI"] || ![0, 1, 2].every((descriptor) => isatty(descriptor))) return false;
  if (process.argv.slice(2).some((one) => ["--json", "--help", "-h", "--version", "telemetry"].includes(one))) return false;
  if (platform() === "win32") return true;
  // In the background, reading from the terminal would stop the run.
  const fields = spawnSync("ps", ["-o", "pgid=,tpgid=", "-p", String(process.pid)], { encoding: "utf8" }).stdout?.trim().split(/\s+/);
  return (fields?.length !== 2 || fields[0] === fields[1]) && !typedAhead();
}

/**
 * Whether something was typed already: it is meant for the shell, which reads it after this run. A line that is not
 * finished shows only while the terminal does not wait for its end.
 */
function typedAhead(): boolean {
  const look = `waits() {
      bash -c '((BASH_VERSINFO >= 4)) && read -t 0' || zsh -fc 'zmodload zsh/zselect && zselect -t 0 -r 0'
    }
    waits && exit
    saved=$(stty -g) && stty -icanon min 1 || exit
    waits
    typed=$?
    stty "$saved"
    exit $typed`;
  return spawnSync("sh", ["-c", look], { stdio: ["inherit", "ignore", "ignore"] }).status === 0;
}

function ask(config: Config, directory: string): boolean {
  const [answer, paths] = remembered(directory);
  const lines = [config.prompt];
  if (answer === "allowed") lines.push(`New since you last said yes: ${more(paths).join(", ")}.`);
  if (config.link) lines.push(`What is collected and why: ${config.link}`);
  fs.writeSync(2, `${lines.join("\n")}\nSend it? [yes/no] `);
  const buffer = Buffer.alloc(100);
  const typed = attempt(() => buffer.toString("utf8", 0, fs.readSync(0, buffer)), "").trim().toLowerCase();
  if (["y", "yes"].includes(typed)) remember(directory, "allowed");
  else if (["n", "no"].includes(typed)) remember(directory, "denied");
  else fs.writeSync(2, "That is neither a yes nor a no. Nothing is sent, and you will be asked again.\n");
  return ["y", "yes"].includes(typed);
}

// Files

function stateDirectory(): string {
  const home = attempt(homedir, "");
  const named = process.env[platform() === "win32" ? "LOCALAPPDATA" : "XDG_STATE_HOME"] ?? "";
  const own = { win32: ["AppData", "Local"], darwin: ["Library", "Application Support"] }[platform() as string];
  const base = isAbsolute(named) ? named : join(home, ...(own ?? [".local", "state"]));
  return isAbsolute(base) ? join(base, APPLICATION, "telemetry-ts") : "";
}

/** Whether every directory above belongs to this user or to root: root leaves no files in somebody's home. */
function ours(place: string): boolean {
  const me = process.geteuid?.();
  for (; me !== undefined; place = dirname(place)) {
    const owner = attempt(() => fs.statSync(place).uid, undefined);
    if (owner !== undefined && owner !== 0 && owner !== me) return false;
    if ((owner === me && me !== 0) || place === dirname(place)) break;
  }
  return true;
}

// Node's own recursive mkdir never ends where a directory cannot be made, as under /proc.
function make(directory: string): void {
  if (fs.existsSync(directory)) return;
  make(dirname(directory));
  fs.mkdirSync(directory, { mode: 0o700 });
}

/** Puts a file in place whole or not at all, readable for its owner alone. */
function write(path: string, data: string): void {
  make(dirname(path));
  const half = join(dirname(path), `.${randomUUID()}`);
  try {
    fs.writeFileSync(half, data, { mode: 0o600 });
    fs.renameSync(half, path);
  } catch (error) {
    fs.rmSync(half, { force: true });
    throw error;
  }
}

const isId = (text: string): boolean => /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(text);

function userId(directory: string): string {
  const known = text(join(directory, "id"));
  if (isId(known)) return known;
  const made = randomUUID();
  write(join(directory, "id"), made);
  return made;
}

/** The names of the files that wait, oldest first: when the session began, its bytes, its id. */
function waiting(directory: string): string[] {
  const names = attempt(() => fs.readdirSync(join(directory, "queue")), []);
  return names.filter((name) => /^\d+-\d+-[0-9a-f-]{36}\.json$/.test(name)).sort();
}

const fileName = (began: number, bytes: number, id: string): string =>
  `${String(Math.max(Math.floor(began), 0)).padStart(15, "0")}-${bytes}-${id}.json`;
const began = (name: string): number => Number(name.split("-")[0]);
const size = (name: string): number => Number(name.split("-")[1]);
const due = (names: string[], now: number): boolean =>
  names.length >= MANY || (names[0] !== undefined && Math.abs(now - began(names[0])) >= OLD_ENOUGH);

/** How many of the oldest files must go so that a session of so many bytes has room. */
function surplus(names: string[], bytes: number): number {
  let total = names.reduce((sum, name) => sum + size(name), bytes);
  let gone = 0;
  while (gone < names.length && (names.length - gone >= MOST_FILES || total > MOST_BYTES)) total -= size(names[gone++] as string);
  return gone;
}

function pause(directory: string): number {
  const milliseconds = attempt(() => fs.statSync(join(directory, "retry")).mtimeMs, 0) - Date.now();
  return milliseconds > 0 && milliseconds < DAY ? milliseconds : 0;
}

// Runs

/** A time in milliseconds as the server reads it, to the microsecond. */
function moment(at: number): string {
  const microseconds = Math.round(at * 1000);
  const rest = String(microseconds % 1000).padStart(3, "0");
  return `${new Date(Math.floor(microseconds / 1000)).toISOString().slice(0, -1)}${rest}Z`;
}

/** Whether the server takes a value: one that it refused would cost the whole session. */
function storable(value: unknown): boolean {
  if (typeof value === "string") return !/\0|\p{Surrogate}/u.test(value) && [...value].length <= 4096;
  return typeof value !== "number" || (Number.isFinite(value) && !(Number.isInteger(value) && Math.abs(value) >= 2 ** 63));
}

/** A version in the form that the server takes, by the rules of the specification. */
function normal(given: string): string {
  const version = given.trim();
  const part = "[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?";
  if (new RegExp(`^(?:\\d+(?:\\.\\d+){0,2}|\\d+\\.\\d+\\.\\d+(?:-${part})?(?:\\+${part})?)$`).test(version)) return version;
  const found = // as Python's standard (PEP 440) has it
    /^v?(?:(\d+)!)?(\d+(?:\.\d+)*)(?:[._-]?(alpha|a|beta|b|preview|pre|rc|c)(?:[._-]?(\d+))?)?(?:-(\d+)|[._-]?(post|rev|r)(?:[._-]?(\d+))?)?(?:[._-]?(dev)(?:[._-]?(\d+))?)?(?:\+(.*))?$/s.exec(
      version.toLowerCase(),
    );
  if (!found || (found[10] && !clean(found[10]))) return nearest(version.replace(/^v/, ""));
  const [, epoch, listed = "", pre, preNumber, hyphened, post, postNumber, dev, devNumber, rest = ""] = found;
  const number = (digits = ""): string => digits.replace(/^0+/, "") || "0"; // without zeros before it
  const numbers = listed.split(".").map((one) => number(one));
  const more = numbers.slice(3);
  while (more.at(-1) === "0") more.pop();
  const short: Record<string, string> = { alpha: "a", beta: "b", preview: "rc", pre: "rc", c: "rc" };
  const isPost = hyphened !== undefined || post !== undefined;
  const devs = dev ? ["dev", number(devNumber)] : [];
  const head = pre ? [short[pre] ?? pre, number(preNumber)] : isPost || !dev ? [] : ["0", ...devs];
  const local = clean(rest);
  const build = [
    ...(epoch && number(epoch) !== "0" ? ["epoch", number(epoch)] : []),
    ...(more.length ? ["rev", ...more] : []),
    ...(isPost ? ["post", number(hyphened ?? postNumber)] : []),
    ...(pre || isPost ? devs : []),
    ...(/^(?:epoch|rev|post|dev|local|\d+)(?:[.-]|$)/.test(local) ? ["local"] : []),
    ...(local ? [local] : []),
  ];
  if (!head.length && !build.length) return numbers.slice(0, 3).join(".");
  return joined(numbers, head.join("."), build.join("."));
}

/** The numbers at the beginning of what is no version, and what follows them behind a hyphen. */
function nearest(version: string): string {
  const [, numbers, after = "", build = ""] = /^(\d+(?:\.\d+){0,2})?\.*([^+]*)\+?(.*)$/s.exec(version) ?? [];
  if (numbers && !clean(after) && !clean(build)) return numbers;
  return joined(numbers?.split(".") ?? [], clean(after), clean(build));
}

const joined = (numbers: string[], head: string, build: string): string =>
  [...numbers, "0", "0", "0"].slice(0, 3).join(".") + (head && `-${head}`) + (build && `+${build}`);
const trimmed = (text: string): string => text.replace(/^[.-]+|[.-]+$/g, "");
const clean = (text: string): string => trimmed(trimmed(text.replace(/[^A-Za-z0-9.-]/gu, "-")).slice(0, 60));

interface Part {
  type: string;
  start: number;
  end: number | null;
  attributes: Attributes;
}

/** One run of the tool. When it may not be recorded, its methods do nothing. */
class Recorder {
  private readonly wall = Date.now();
  private readonly clock = performance.now();
  private readonly attributes: Attributes = {};
  private readonly events: { type: string; time: string; attributes: Attributes }[] = [];
  private readonly spans: Part[] = [];

  constructor(
    private readonly config: Config,
    private recorded: boolean,
  ) {
    if (!recorded) return;
    process.on("exit", (code) => this.end(code));
    for (const name of ["SIGTERM", "SIGHUP"] as const) {
      if (process.listenerCount(name)) continue; // the tool's own handler ends the run
      process.once(name, () => {
        this.end(name === "SIGTERM" ? 143 : 129);
        process.kill(process.pid, name);
      });
    }
  }

  set(name: string, value: Scalar): void {
    if (this.recorded && storable(value)) this.attributes[name] = value;
  }

  record(type: string, attributes: Record<string, Scalar | undefined>): void {
    const given = Object.entries(attributes).filter(
      (pair): pair is [string, Scalar] => pair[1] !== undefined && storable(pair[1]),
    );
    if (this.recorded && this.events.length < 1000)
      this.events.push({ type, time: moment(this.now()), attributes: Object.fromEntries(given) });
  }

  begin(type: string): Part {
    const part: Part = { type, start: this.now(), end: null, attributes: {} };
    if (this.recorded && this.spans.length < 1000) this.spans.push(part);
    return part;
  }

  /** Counted from the start on the clock that nobody sets: an end never comes before its start. */
  now(): number {
    return this.wall + performance.now() - this.clock;
  }

  /** The session as it is sent. */
  private document(id: string, user: string, end: number): string {
    return JSON.stringify({
      sessionId: id, userId: user, applicationId: APPLICATION, applicationVersion: normal(this.config.version),
      sessionStartTime: moment(this.wall), sessionEndTime: moment(end),
      attributes: this.attributes, events: this.events,
      spans: this.spans.map(({ type, start, end: over, attributes }) => ({
        type, startTime: moment(start), endTime: moment(over ?? end), attributes,
      })),
    });
  }

  /** Queues the session with its exit code. It says nothing, whatever fails. */
  private end(code: number): void {
    const directory = stateDirectory();
    if (!this.recorded) return;
    this.recorded = false;
    attempt(() => {
      if (!decide(this.config, directory)[1]) return; // the user said no in the meantime
      if (COLLECTS.includes("attributes.exitCode")) this.attributes["exitCode"] = code;
      const id = randomUUID();
      const session = this.document(id, userId(directory), this.now());
      const bytes = Buffer.byteLength(session);
      if (bytes > SESSION_BYTES) return;
      const before = waiting(directory);
      for (const name of before.splice(0, surplus(before, bytes))) fs.rmSync(join(directory, "queue", name), { force: true });
      const own = fileName(this.wall, bytes, id);
      write(join(directory, "queue", own), session);
      const settings = { directory, endpoint: this.config.endpoint, asked: false };
      if (this.config.inline || process.env["CI"] || process.pid === 1) upload({ ...settings, leave: "" }, 2000);
      else if (due(before, Date.now())) upload({ ...settings, leave: own }, 0);
    }, undefined);
  }
}

/** Begins a run, and asks the user where that is due. The session is kept when the process ends. */
export function start(config: Config): Run {
  const given = { ...config, endpoint: usable(process.env[`${VARIABLE}_ENDPOINT`] || config.endpoint) };
  const directory = stateDirectory();
  const [rule, decided] = decide(given, directory);
  const asks = (rule === "unasked" || rule === "more") && mayAsk(given);
  const allowed = asks ? attempt(() => ask(given, directory), false) : decided;
  return new Run(new Recorder(given, allowed && process.argv[2] !== "telemetry"));
}

// Uploads

/** Starts the process that sends: Node, with the function `send` and nothing of the tool's. */
function upload(settings: Settings, wait: number): number | null {
  if (!settings.asked && pause(settings.directory) > 0) return null;
  const kept = ["SYSTEMROOT", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"];
  const env = Object.fromEntries(kept.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));
  // A bundler that keeps names calls this for each.
  const code = `const __name = (one) => one; (${send.toString()})(${JSON.stringify(settings)}, ${delay.toString()})`;
  const log = attempt<number | "ignore">(() => fs.openSync(join(settings.directory, "log"), "a", 0o600), "ignore");
  const options = { cwd: dirname(process.execPath), env, windowsHide: true, stdio: ["ignore", "ignore", log] as ("ignore" | number)[] };
  if (wait) return spawnSync(process.execPath, ["-e", code], { ...options, timeout: wait }).status;
  spawn(process.execPath, ["-e", code], { ...options, detached: true }).unref();
  return null;
}

/** How many milliseconds a server is left alone after so many failures in a row. `chance` is from 0 to 1. */
function delay(failures: number, chance: number): number {
  return (Math.min(600_000 * 2 ** Math.min(failures - 1, 20), 86_399_000) * (1 + chance)) / 2;
}

/** Runs in a process of its own, from its text: it uses nothing from outside itself but `wait`, which is `delay`. */
async function send({ directory, endpoint, leave, asked }: Settings, wait: (failures: number, chance: number) => number): Promise<void> {
  const fs = process.getBuiltinModule("node:fs");
  const { gzipSync } = process.getBuiltinModule("node:zlib");
  const { join } = process.getBuiltinModule("node:path");
  const [lifetime, day] = [120_000, 86_400_000];
  const queue = join(directory, "queue");
  const [lock, retry] = [join(directory, "lock"), join(directory, "retry")];
  const age = (path: string): number => Math.abs(Date.now() - fs.statSync(path).mtimeMs);
  const log = (line: string): void => fs.appendFileSync(join(directory, "log"), `${new Date().toISOString().slice(0, 19)}Z  ${line}\n`, { mode: 0o600 });
  const idOf = (name: string): string => name.split("-").slice(2).join("-").replace(".json", "");
  const remove = (path: string): void => fs.rmSync(path, { force: true, recursive: true });
  const names = (): string[] => fs.readdirSync(queue).filter((name) => /^\d+-\d+-[0-9a-f-]{36}\.json$/.test(name));
  const aside = (name: string): void => {
    fs.mkdirSync(join(directory, "aside"), { recursive: true, mode: 0o700 });
    fs.renameSync(join(queue, name), join(directory, "aside", `${idOf(name)}.json`));
    log(`refused  ${idOf(name)}`);
  };
  const retire = (): void => {
    for (const name of ["queue", "aside"]) remove(join(directory, name));
    fs.writeFileSync(join(directory, "consent"), "retired\n", { mode: 0o600 });
    process.exitCode = 1;
  };
  const putOff = (wanted: string | null): void => {
    const failures = Math.min(fs.existsSync(retry) ? Number.parseInt(fs.readFileSync(retry, "utf8"), 10) || 0 : 0, 99) + 1;
    let pause = wait(failures, Math.random());
    if (wanted && /^\d{1,9}$/.test(wanted)) pause = Number(wanted) * 1000;
    else if (wanted && Date.parse(wanted)) pause = Math.max(Date.parse(wanted) - Date.now(), 0);
    fs.writeFileSync(retry, `${failures}\n`, { mode: 0o600 });
    const moment = (Date.now() + Math.min(pause, day - 1000)) / 1000;
    fs.utimesSync(retry, moment, moment);
    process.exitCode = 1;
  };
  setTimeout(() => process.exit(1), lifetime).unref();
  // Node has no locks that end with their holder: this one counts for nothing once its holder must have ended.
  if (fs.existsSync(lock) && age(lock) > lifetime + 30_000) remove(lock);
  try {
    fs.closeSync(fs.openSync(lock, "wx", 0o600));
  } catch {
    return;
  }
  process.once("exit", () => remove(lock));
  process.once("SIGTERM", () => process.exit(1)); // from a run that waits no longer
  if (!asked && fs.existsSync(retry) && fs.statSync(retry).mtimeMs > Date.now()) return;
  const todo = names().filter((name) => name !== leave);
  for (let last = todo.length - 1; last > 0; last--) {
    const other = Math.floor(Math.random() * (last + 1));
    [todo[last], todo[other]] = [todo[other] as string, todo[last] as string];
  }
  const batches: string[][] = [];
  while (todo.length) batches.push(todo.splice(0, 100));
  for (let batch = batches.shift(); batch; batch = batches.shift()) {
    const lines: string[] = [];
    const sent: string[] = [];
    for (const name of batch) {
      if (!fs.existsSync(join(queue, name))) continue;
      const line = fs.readFileSync(join(queue, name), "utf8");
      try {
        if (JSON.parse(line).sessionId !== idOf(name) || line.includes("\n")) throw new Error("torn by a power cut");
      } catch {
        aside(name);
        continue;
      }
      if (sent.length && lines.join("").length + line.length > 1_048_576) {
        batches.push(batch.slice(batch.indexOf(name)));
        break;
      }
      lines.push(`${line}\n`);
      sent.push(name);
    }
    if (!sent.length) continue;
    const answer = await fetch(`${endpoint}/v1/sessions`, {
      method: "POST", body: gzipSync(lines.join("")), redirect: "manual", signal: AbortSignal.timeout(30_000),
      headers: { "Content-Type": "application/x-ndjson", "Content-Encoding": "gzip" },
    }).catch(() => null);
    const body = (await answer?.text().catch(() => "")) ?? "";
    let read: { message?: unknown; results?: { line: number; sessionId: string; status: number }[] } = {};
    try {
      read = JSON.parse(body);
    } catch {
      // a gateway's page
    }
    const results = Array.isArray(read?.results) ? read.results : [];
    const matches = results.length === sent.length && results.every((one, at) =>
      one?.line === at + 1 && (![201, 304].includes(one.status) || one.sessionId === idOf(sent[at] as string)));
    if (answer?.status === 410 || (matches && results.some((one) => one.status === 410))) return retire();
    if (answer?.status === 200 && matches) {
      results.forEach((one, at) => {
        if ([201, 304].includes(one.status)) {
          remove(join(queue, sent[at] as string));
          log(`${one.status}  ${one.sessionId}`);
        } else if ([400, 413].includes(one.status)) aside(sent[at] as string);
      });
      if (results.some((one) => [429, 503].includes(one.status))) return putOff(answer.headers.get("retry-after"));
      remove(retry);
    } else if (answer?.status === 413 || (answer?.status === 400 && typeof read?.message === "string")) {
      const half = Math.floor(sent.length / 2);
      if (sent.length === 1) aside(sent[0] as string);
      else batches.push(sent.slice(0, half), sent.slice(half));
    } else {
      log(`failed  ${answer ? answer.status : "no answer"}`);
      for (const name of names()) if (Date.now() - Number(name.split("-")[0]) > 30 * day) remove(join(queue, name));
      return putOff(answer && [429, 503].includes(answer.status) ? answer.headers.get("retry-after") : null);
    }
  }
}

/** Runs `telemetry …` for the tool's users; its exit code. `words` are those after `telemetry`. */
export function command(config: Config, words: string[]): number {
  const given = { ...config, endpoint: usable(process.env[`${VARIABLE}_ENDPOINT`] || config.endpoint) };
  const directory = stateDirectory();
  const action = words[0] ?? "status";
  if (!directory || (["on", "off", "reset"].includes(action) && !ours(directory))) {
    console.error("telemetry: off, because there is no directory of yours to write to");
    return 1;
  }
  const [rule, allowed] = decide(given, directory);
  try {
    if (action === "status") {
      console.log(`telemetry: ${allowed ? "on" : "off"}, by the rule ${rule}\nsent to:   ${given.endpoint}`);
      console.log(`waiting:   ${waiting(directory).length}\nfiles:     ${directory}`);
    } else if (action === "on") {
      remember(directory, "allowed");
      userId(directory);
    } else if (action === "off") remember(directory, "denied");
    else if (action === "show") for (const name of waiting(directory)) console.log(text(join(directory, "queue", name)));
    else if (action === "log" || action === "id") {
      const known = text(join(directory, action)).trim();
      console.log(known);
      if (action === "id" && known) {
        const code = createHash("sha256").update(known).digest("hex");
        console.error(`telemetry: to ask for deletion, give this code instead of the id, even in public: ${code}`);
      }
    }
    else if (action === "flush") {
      if (allowed) return upload({ directory, endpoint: given.endpoint, leave: "", asked: true }, 120_000) ?? 1;
      console.log(`telemetry: nothing is sent: it is off, by the rule ${rule}`);
      return 1;
    } else if (action === "reset")
      for (const name of ["queue", "aside", "id", "log"]) fs.rmSync(join(directory, name), { recursive: true, force: true });
    else {
      console.error("usage: telemetry [status|on|off|show|flush|log|id|reset]");
      return 2;
    }
  } catch (error) {
    console.error(`telemetry: ${error}`);
    return 1;
  }
  return 0;
}

// What the registry declares.

const APPLICATION: string = "my-tool";
const VARIABLE: string = "MY_TOOL_TELEMETRY";
const COLLECTS: readonly string[] = ["attributes.exitCode"];

/** The run, with a function for each attribute, event and span. */
export class Run {
  constructor(_: Recorder) {}
}
