//! What the process takes of the machine, under the names every exporter gives
//! it (`process_*`), read from `/proc` when it is asked for.

use std::fs;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};
use rustix::{
    param::{clock_ticks_per_second, page_size},
    process::{Resource, getrlimit},
};

/// A registry with nothing but them.
pub(super) fn registry() -> Registry {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Process));
    registry
}

#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let mut encode = |name: &str, help: &str, metric: &dyn EncodeMetric| {
            let kind = metric.metric_type();
            metric.encode(encoder.encode_descriptor(name, help, None, kind)?)
        };
        if let Some(usage) = Usage::read() {
            let Usage { cpu_seconds, start_time_seconds, virtual_bytes, resident_bytes } = usage;
            encode(
                "process_cpu_seconds",
                "Processor time spent, in user and system mode.",
                &ConstCounter::new(cpu_seconds),
            )?;
            encode(
                "process_start_time_seconds",
                "When the process started, in seconds since 1970.",
                &ConstGauge::new(start_time_seconds),
            )?;
            encode("process_virtual_memory_bytes", "Address space.", &gauge(virtual_bytes))?;
            encode("process_resident_memory_bytes", "Memory in use.", &gauge(resident_bytes))?;
        }
        if let Ok(open) = fs::read_dir("/proc/self/fd") {
            // One of them is the folder that is being read.
            let open = open.count().saturating_sub(1) as u64;
            encode("process_open_fds", "Files that are open.", &gauge(open))?;
        }
        if let Some(most) = getrlimit(Resource::Nofile).current {
            encode("process_max_fds", "Files that may be open.", &gauge(most))?;
        }
        Ok(())
    }
}

fn gauge(value: u64) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX))
}

struct Usage {
    cpu_seconds: f64,
    start_time_seconds: f64,
    virtual_bytes: u64,
    resident_bytes: u64,
}

impl Usage {
    fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let system = fs::read_to_string("/proc/stat").ok()?;
        Self::parse(&stat, &system, clock_ticks_per_second(), page_size() as u64)
    }

    /// Reads `/proc/self/stat` and `/proc/stat`, as proc(5) describes them.
    fn parse(stat: &str, system: &str, ticks_per_second: u64, page: u64) -> Option<Self> {
        // The name, in brackets, may hold anything; what follows is numbers from
        // the third field on.
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let seconds = |ticks: u64| precise(ticks) / precise(ticks_per_second);
        let boot = system.lines().find_map(|line| line.strip_prefix("btime "))?;
        let boot: u64 = boot.trim().parse().ok()?;
        Some(Self {
            cpu_seconds: seconds(field(14)? + field(15)?),
            start_time_seconds: precise(boot) + seconds(field(22)?),
            virtual_bytes: field(23)?,
            resident_bytes: field(24)? * page,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 and ticks are far below 2^53")]
fn precise(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_says_of_a_process() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 250 150 0 0 20 0 4 0 1000 4096000 25 \
                    18446744073709551615 1 1 0 0";
        let system = "cpu  1 2 3\nbtime 1700000000\nprocesses 9\n";
        let usage = Usage::parse(stat, system, 100, 4096).unwrap();
        assert!((usage.cpu_seconds - 4.0).abs() < 1e-9);
        assert!((usage.start_time_seconds - 1_700_000_010.0).abs() < 1e-6);
        assert_eq!((usage.virtual_bytes, usage.resident_bytes), (4_096_000, 102_400));
    }

    #[test]
    fn this_process_has_a_size() {
        let usage = Usage::read().expect("Linux has /proc");
        assert!(usage.resident_bytes > 0 && usage.virtual_bytes > usage.resident_bytes);
    }
}
