"""The supervisor of one program: a small process of its own that outlives the control plane.

Started as `python -I -S shim.py FOLDER` with its spec as JSON on standard input, because the
spec holds secrets. Only the standard library is imported, and little of it: one shim runs
beside every instance. `shim_tree` and `shim_output` are its other two parts.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import resource
import select
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from .shim_output import Log, Stream, masks
    from .shim_tree import Tree, boot_id, send, start_time
else:
    # An isolated interpreter does not look beside the script; at the end nothing is shadowed.
    sys.path.append(os.path.dirname(os.path.abspath(__file__)))
    from shim_output import Log, Stream, masks
    from shim_tree import Tree, boot_id, send, start_time

HEALTHY_SECONDS = 30.0
SETTLED_SECONDS = 5.0
WATCH_SECONDS = 0.25
LOOK_SECONDS = 5.0
STOP_SECONDS = 0.05
FLOOD_SECONDS, FLOOD_BYTES = 0.1, 800 * 1024
OPEN_FILES = 65536
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


class Shim:
    """Runs the program of a spec, again and again if the spec says so, until it is stopped."""

    def __init__(self, folder: str, lock: int, spec: dict[str, Any]) -> None:
        self.folder = folder
        self.lock = lock
        self.spec = spec
        self.log = Log(folder, spec["log_bytes"])
        environment: dict[str, str] = spec["environment"]
        self.mask = masks([environment[name] for name in spec["secrets"]])
        self.tree = Tree(spec)
        self.streams: list[Stream] = []
        self.first_pause, self.longest_pause = spec["pauses"]
        self.pause = self.first_pause
        self.ends: list[float] = []
        self.began = 0.0
        self.kills_before = 0
        self.broken = ""  # the limit for which the watchdog killed
        self.why = ""  # how the last run ended
        self.taken = 0  # bytes of output since the window began
        self.window_at = self.look_at = self.watch_at = 0.0
        self.start_at = 0.0  # when the next start is due, 0 while the program runs
        self.stop_at = 0.0  # when patience with SIGTERM ends, 0 unless stopping
        self.libc = ctypes.CDLL(None)
        self.libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.wakeup, woken = os.pipe()
        for fd in (self.wakeup, woken):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self.terminate)
        self.state: dict[str, Any] = {
            "boot": boot_id(),
            "shim_pid": os.getpid(),
            "shim_start": start_time(os.getpid()),
            "pid": None,
            "session": None,
            "session_start": None,
            "owner": spec["owner"],
            "groups": spec["groups"],
            "limits": spec["mechanism"],
            "stopping": False,
            "restarts": 0,
            "exit_code": None,
            "out_of_memory": False,
            "status": "",
        }

    def tell(self, status: str, reason: str, **more: Any) -> None:
        """Write the state, in one step."""
        if self.state["status"] != status:
            self.state["since"] = time.time()
        self.state.update(status=status, reason=reason, **more)
        try:
            with open(f"{self.folder}/state.tmp", "w") as file:
                json.dump(self.state, file)
            os.rename(f"{self.folder}/state.tmp", f"{self.folder}/state.json")
        except OSError:
            return  # a full disk must not end the program; the next change tries again

    def terminate(self, *_: object) -> None:
        """Begin to stop, or, on another SIGTERM, read again how long that may take."""
        try:
            with open(f"{self.folder}/grace") as file:
                grace = float(file.read())
        except (OSError, ValueError):
            grace = self.spec["grace_seconds"]
        self.stop_at = min(time.monotonic() + grace, self.stop_at or float("inf"))

    def spawn(self) -> str:
        """Start the program; return why that is impossible, or ""."""
        self.start_at, self.broken, self.tree.ended = 0.0, "", None
        self.began = time.monotonic()
        self.kills_before = self.tree.oom_kills()
        (out, out_end), (err, err_end), (report, report_end) = os.pipe(), os.pipe(), os.pipe()
        # A SIGTERM for the new process must not meet the handler of the shim in it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        self.tree.child = os.fork()
        if self.tree.child == 0:
            self.become(out_end, err_end, report_end)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        for fd in (out_end, err_end, report_end):
            os.close(fd)
        problem = os.read(report, 1000).decode()  # returns when exec closes the other end
        os.close(report)
        for fd, kind in ((out, b"O"), (err, b"E")):
            os.set_blocking(fd, False)
            mask = self.mask() if self.mask else None
            self.streams.append(Stream(fd, kind, self.log, mask))
        child = self.tree.child
        self.state.update(pid=child, session=child, session_start=start_time(child))
        return problem

    def become(self, out: int, err: int, report: int) -> NoReturn:
        """Turn the forked process into the program."""
        try:
            os.setsid()
            self.libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != self.state["shim_pid"]:
                os._exit(1)
            self.tree.join_groups()
            with open("/proc/self/oom_score_adj", "w") as file:
                file.write("500")  # to go before the platform, should the machine itself run out
            for fd, target in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (err, 2)):
                os.dup2(fd, target)
            hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
            files = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            os.umask(0o022)
            os.chdir(self.spec["cwd"])
            argv: list[str] = self.spec["argv"]
            os.execvpe(argv[0], argv, self.spec["environment"])  # noqa: S606 - wanted
        except OSError as error:
            what = error.filename or self.spec["argv"][0]
            os.write(report, f"{what}: {error.strerror}".encode())
        finally:
            os._exit(127)

    def run(self) -> None:
        """Supervise until the program may end."""
        if problem := self.spawn():
            # A program that is not there is a mistake to tell at once, not a crash to repeat.
            self.tree.kill()
            self.tell("exited", f"cannot be started: {problem}", pid=None, exit_code=127)
        else:
            self.tell("running", "running")
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # tells the caller that it has begun
            while self.turn():
                self.wait()
        self.close_streams()
        self.tree.remove_groups()

    def turn(self) -> bool:
        """Do what is due; return whether to go on."""
        now = time.monotonic()
        self.tree.reap()
        if self.stop_at:
            return self.stop(now)
        if self.folder_gone(now):
            self.terminate()
        elif self.start_at:
            if now >= self.start_at:
                self.again()
        elif self.tree.ended is not None:
            return self.ended(os.waitstatus_to_exitcode(self.tree.ended), now - self.began)
        elif self.tree.watched and now >= self.watch_at:
            self.watch_at = now + WATCH_SECONDS
            self.broken = self.broken or self.tree.exceeded()
            if self.broken:
                self.tree.kill()
                return self.turn()
        if self.settling() and now - self.began > SETTLED_SECONDS:
            self.tell("running", "running")
        return True

    def settling(self) -> bool:
        """Tell whether a run has begun of which is not known yet if it ends the crash loop."""
        return self.state["status"] == "crash-loop" and not self.start_at

    def folder_gone(self, now: float) -> bool:
        """Tell whether the folder was taken away: nobody could stop this shim any more."""
        if now < self.look_at:
            return False
        self.look_at = now + LOOK_SECONDS
        try:
            return os.fstat(self.lock).st_ino != os.stat(f"{self.folder}/shim.lock").st_ino
        except OSError:
            return True

    def stop(self, now: float) -> bool:
        """End the program; return whether that still takes time."""
        if not self.state["stopping"]:
            if not self.start_at and self.tree.ended is None:
                send(-self.tree.child, signal.SIGTERM)
            self.tell(self.state["status"], "stopping", stopping=True)
        late = now >= self.stop_at
        if not self.start_at and not late and (self.tree.ended is None or self.tree.group_lives()):
            return True
        self.tree.kill()
        self.close_streams()
        code = self.state["exit_code"] if self.start_at else self.code()
        killed = "; it did not end on SIGTERM and was killed" if late else ""
        self.tell("stopped", f"stopped{killed}", pid=None, exit_code=code, stopping=False)
        return False

    def code(self) -> int | None:
        """Return the exit code of the run that ended."""
        return None if self.tree.ended is None else os.waitstatus_to_exitcode(self.tree.ended)

    def ended(self, code: int, lived: float) -> bool:
        """Deal with the end of a run; return whether there will be another."""
        self.tree.kill()
        self.close_streams()
        killed = code == -signal.SIGKILL
        if killed and not self.broken and self.tree.oom_kills() > self.kills_before:
            self.broken = self.tree.memory_words()
        if code < 0:
            why = f"killed by {signal.Signals(-code).name} after {lived:.1f} s"
        else:
            why = f"exited with code {code} after {lived:.1f} s"
        why = self.broken or why
        facts = {"pid": None, "exit_code": code, "out_of_memory": self.broken.startswith("memory")}
        if not self.spec["restart"]:
            self.tell("exited", why, **facts)
            return False
        now = time.monotonic()
        self.ends = [end for end in self.ends if now - end < self.spec["crash_loop_seconds"]]
        self.ends.append(now)
        self.pause = self.first_pause if lived > HEALTHY_SECONDS else self.pause
        self.start_at = now + self.pause
        looping = len(self.ends) >= self.spec["crash_loop_ends"]
        often = f"; ended {len(self.ends)} times in {now - self.ends[0]:.0f} s" if looping else ""
        reason = f"{why}{often}; starts again in {self.pause:g} s"
        self.tell("crash-loop" if looping else "restarting", reason, **facts)
        self.pause = min(self.pause * 2, self.longest_pause)
        self.why = why
        return True

    def again(self) -> None:
        """Start the program again."""
        self.state["restarts"] += 1
        if problem := self.spawn():
            self.log.write(b"E", [f"cannot be started: {problem}".encode()])
        # A crash loop is over when a run has lasted, not when one has begun.
        looping = self.state["status"] == "crash-loop"
        reason = f"started again after: {self.why}"
        self.tell("crash-loop" if looping else "running", reason)

    def wait(self) -> None:
        """Sleep until there is output, a signal or something due; take the output."""
        now = time.monotonic()
        due = [self.look_at, *(at for at in (self.start_at, self.stop_at) if at)]
        # What nobody looks at meanwhile must not be due: with its time passed it would never sleep.
        if self.stop_at:
            due.append(now + STOP_SECONDS)
        elif not self.start_at:
            if self.tree.watched:
                due.append(self.watch_at)
            if self.settling():
                due.append(self.began + SETTLED_SECONDS)
        flooded = self.taken >= FLOOD_BYTES
        if now >= self.window_at:
            self.window_at, self.taken, flooded = now + FLOOD_SECONDS, 0, False
        poll = select.poll()
        poll.register(self.wakeup, select.POLLIN)
        if flooded:
            due.append(self.window_at)  # the program waits in its pipe meanwhile
        else:
            for stream in self.streams:
                poll.register(stream.fd, select.POLLIN)
        ready = {fd for fd, _ in poll.poll(max(0.0, min(due) - now) * 1000)}
        if self.wakeup in ready:
            os.read(self.wakeup, 4096)
        for stream in [stream for stream in self.streams if stream.fd in ready]:
            taken = stream.read()
            self.taken += taken
            if not taken:
                stream.close()
                self.streams.remove(stream)

    def close_streams(self) -> None:
        """Take what is left of the output of a run."""
        while self.streams:
            self.streams.pop().close()


def main() -> None:
    """Leave the caller, make sure to be the only shim of the folder, and supervise."""
    folder = sys.argv[1]
    spec = json.loads(sys.stdin.buffer.read())
    if os.fork():
        os._exit(0)  # the shim itself is nobody's child, so nobody has to wait for it
    os.umask(0o077)
    lock = os.open(f"{folder}/shim.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    Shim(folder, lock, spec).run()


if __name__ == "__main__":
    main()
