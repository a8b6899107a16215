//! The resource usage of a process or thread, from Linux's `/proc`.

use std::{fs, time::Duration};

/// The unit of times in `/proc` (`USER_HZ`), which is the same on every platform of Linux.
const TICK: Duration = Duration::from_millis(10);

/// Returns the processor time of all threads of a process, including its system calls, in steps of
/// 10 ms.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    read_cpu_time(&format!("/proc/{pid}/stat"))
}

/// Returns the processor time of the calling thread alone.
pub(crate) fn thread_cpu_time() -> Duration {
    read_cpu_time("/proc/thread-self/stat")
}

fn read_cpu_time(file: &str) -> Duration {
    let stat = fs::read_to_string(file).expect("the process runs");
    // The second field is a name in parentheses, which may contain any character. `utime` and
    // `stime` are the 14th and the 15th field.
    let (_, fields) = stat.rsplit_once(')').expect("what Linux says");
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks = ticks.map(|field| field.parse::<u32>().expect("a number"));
    TICK * ticks.sum::<u32>()
}

/// Returns the resident memory of a process, in bytes.
pub(crate) fn resident(pid: u32) -> u64 {
    memory(pid, "VmRSS:")
}

/// Returns the peak memory of a process, in bytes.
pub(crate) fn resident_peak(pid: u32) -> u64 {
    memory(pid, "VmHWM:")
}

fn memory(pid: u32, which: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix(which));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")).expect("what Linux says");
    kib.trim().parse::<u64>().expect("a number") * 1024
}
