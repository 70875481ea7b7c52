"""A command-line tool as its author would write it, with the client inside. Tests run it as a process."""

import argparse
import json
import os
import sys
import threading
import time

from abaculus import Telemetry

telemetry = Telemetry(
    "my-tool",
    version="1.4.0",
    endpoint="https://telemetry.my-tool.invalid",
    prompt="May my-tool send how it is used?",
    link="https://my-tool.invalid/telemetry",
    collects=os.environ["HOST_COLLECTS"].split() if "HOST_COLLECTS" in os.environ else None,
    packages=("host",),
)


class ConfigError(Exception):
    """Carries what must never leave the machine."""


def work(arguments: argparse.Namespace) -> int:
    """What the tool is for. Its output and exit code must be the same whatever happens to telemetry."""
    with telemetry.session(off=arguments.no_telemetry, ask=not arguments.json) as session:
        session.environment()
        session.attribute("count", arguments.count)
        with session.span("Work") as span:
            span.attribute("size", arguments.count)
            if arguments.threads:
                threads = [threading.Thread(target=each, args=(session, number)) for number in range(8)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            if arguments.fork and os.fork() == 0:
                session.attribute("count", -1)
                sys.exit(0)  # leaves every `with` of the parent's, in the child
            if arguments.seconds > 1:
                print("working", flush=True)
            time.sleep(arguments.seconds)
        session.event("Done", note="ok")
        print(json.dumps({"worked": arguments.count}) if arguments.json else f"worked {arguments.count}")
        if arguments.fail == "exception":
            raise ConfigError("/home/ann/secret.toml")
        if arguments.fail == "exit":
            sys.exit(7)
        if arguments.fail == "hard":
            os._exit(9)
    return 0


def main() -> int:
    """Reads the command line."""
    parser = argparse.ArgumentParser(prog="my-tool")
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("work")
    one.add_argument("--count", type=int, default=1)
    one.add_argument("--seconds", type=float, default=0)
    one.add_argument("--fail", choices=["exception", "exit", "hard"])
    for name in ("--json", "--no-telemetry", "--threads", "--fork"):
        one.add_argument(name, action="store_true")
    one.set_defaults(run=work)
    telemetry.add_to(commands)
    arguments = parser.parse_args()
    code: int = arguments.run(arguments)
    return code


def each(session: object, number: int) -> None:
    """One thread's part."""
    for _ in range(20):
        with session.span("Part", size=number):  # type: ignore[attr-defined]
            session.event("Done")  # type: ignore[attr-defined]


if __name__ == "__main__":
    sys.exit(main())
