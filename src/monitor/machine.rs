//! What this process uses, and what its machine has left. A figure that the system does not tell is
//! none.

use serde::Serialize;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Use of resources.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Usage {
    /// Processor time of this process since it began, in seconds.
    pub cpu_seconds: Option<f64>,
    /// The same over the time since it began, in percent of one processor.
    pub cpu_percent: Option<f64>,
    /// Memory of this process that is in RAM, in bytes.
    pub resident_bytes: Option<u64>,
    /// Memory of the machine that is in use and cannot be given up, in percent.
    pub memory_percent: Option<f64>,
    /// Free space where the home is, in bytes.
    pub disk_free_bytes: Option<u64>,
    /// Size of the disk where the home is, in bytes.
    pub disk_bytes: Option<u64>,
}

impl Usage {
    /// As it is now. The nearest folder of `home` that exists says which disk is meant.
    pub fn of(home: &Path) -> Usage {
        let cpu_seconds = cpu_seconds();
        let share = |seconds: f64| Some(seconds / age_seconds()? * 100.0);
        let disk = home.ancestors().find(|p| p.exists()).and_then(disk);
        Usage {
            cpu_seconds,
            cpu_percent: cpu_seconds.and_then(share),
            resident_bytes: resident_bytes(),
            memory_percent: memory_percent(),
            disk_free_bytes: disk.map(|d| d.0),
            disk_bytes: disk.map(|d| d.1),
        }
    }
}

fn cpu_seconds() -> Option<f64> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the structure is ours and large enough; the call only writes to it.
    let done = unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
    if done != 0 {
        return None;
    }
    // SAFETY: all zeros is a valid value, and the call has filled it in.
    let usage = unsafe { usage.assume_init() };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    Some(seconds(usage.ru_utime) + seconds(usage.ru_stime))
}

/// Since this process began; none in its first hundredth of a second.
fn age_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may hold spaces; the start is field 22, the 20th after it.
    let (_, after) = stat.rsplit_once(')')?;
    let started: f64 = after.split_whitespace().nth(19)?.parse().ok()?;
    let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
    let uptime: f64 = uptime.split_whitespace().next()?.parse().ok()?;
    // SAFETY: the call takes a number and gives one back.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    let age = uptime - started / ticks as f64;
    (ticks > 0 && age > 0.0).then_some(age)
}

fn resident_bytes() -> Option<u64> {
    kilobytes("/proc/self/status", "VmRSS:").map(|k| k * 1_024)
}

fn memory_percent() -> Option<f64> {
    let total = kilobytes("/proc/meminfo", "MemTotal:").filter(|t| *t > 0)?;
    let available = kilobytes("/proc/meminfo", "MemAvailable:")?;
    Some(total.saturating_sub(available) as f64 / total as f64 * 100.0)
}

fn kilobytes(file: &str, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let value = text.lines().find_map(|l| l.strip_prefix(key))?;
    value.trim().trim_end_matches("kB").trim().parse().ok()
}

/// Free and whole, in bytes.
fn disk(path: &Path) -> Option<(u64, u64)> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    let mut disk = std::mem::MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: the path ends in a zero and the structure is ours; the call only writes to it.
    if unsafe { libc::statvfs(path.as_ptr(), disk.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: all zeros is a valid value, and the call has filled it in.
    let disk = unsafe { disk.assume_init() };
    #[allow(clippy::unnecessary_cast, reason = "the types differ between systems")]
    let (block, free, all) = (disk.f_frsize as u64, disk.f_bavail as u64, disk.f_blocks as u64);
    Some((free * block, all * block))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let usage = Usage::of(Path::new("/no/such/folder"));
        assert!(usage.cpu_seconds.is_some_and(|s| s >= 0.0), "{usage:?}");
        assert!(usage.disk_bytes.is_some_and(|b| b > 0), "{usage:?}");
        assert!(usage.disk_free_bytes <= usage.disk_bytes, "{usage:?}");
        #[cfg(target_os = "linux")]
        assert!(usage.resident_bytes.is_some_and(|b| b > 0), "{usage:?}");
        #[cfg(target_os = "linux")]
        assert!(usage.memory_percent.is_some_and(|p| (0.0..=100.0).contains(&p)), "{usage:?}");
    }
}
