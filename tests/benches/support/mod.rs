//! What the benchmarks share: figures, one a line for people and as JSON for whoever compares runs.

#![allow(dead_code, unreachable_pub, reason = "each benchmark uses some of it")]

pub mod device;
mod picture;

use std::path::PathBuf;

use picture::Bar;
use serde_json::{Value, json};

/// What a benchmark was asked for on its command line, after `--`.
pub struct Arguments {
    json: Option<PathBuf>,
    svg: Option<PathBuf>,
    only: Option<String>,
    flags: Vec<String>,
}

impl Arguments {
    /// Reads them. Cargo adds a `--bench` of its own.
    pub fn read() -> Self {
        let mut all = std::env::args().skip(1).filter(|argument| argument != "--bench");
        let mut arguments = Self { json: None, svg: None, only: None, flags: Vec::new() };
        while let Some(argument) = all.next() {
            match argument.as_str() {
                "--json" => arguments.json = Some(all.next().expect("--json FILE").into()),
                "--svg" => arguments.svg = Some(all.next().expect("--svg FILE").into()),
                "--only" => arguments.only = Some(all.next().expect("--only PART")),
                _ => arguments.flags.push(argument),
            }
        }
        arguments
    }

    /// Whether a part of the benchmark is to run: all do, or those whose name contains what `--only` says.
    pub fn wants(&self, part: &str) -> bool {
        self.only.as_ref().is_none_or(|only| part.contains(only.as_str()))
    }

    /// What follows a flag of the benchmark's own.
    pub fn value(&self, flag: &str) -> Option<&str> {
        let at = self.flags.iter().position(|given| given == flag)?;
        self.flags.get(at + 1).map(String::as_str)
    }

    /// Whether a flag of the benchmark's own was given.
    pub fn has(&self, flag: &str) -> bool {
        self.flags.iter().any(|given| given == flag)
    }
}

/// The figures of a run.
pub struct Figures {
    json: Option<PathBuf>,
    svg: Option<PathBuf>,
    all: Vec<Value>,
    bars: Vec<Bar>,
}

impl Figures {
    pub fn new(arguments: &Arguments) -> Self {
        Self { json: arguments.json.clone(), svg: arguments.svg.clone(), all: Vec::new(), bars: Vec::new() }
    }

    /// A figure by itself: `figure NAME VALUE UNIT`.
    pub fn add(&mut self, name: &str, value: f64, unit: &str) {
        println!("figure {name} {value:.2} {unit}");
        self.all.push(json!({ "name": name, "value": value, "unit": unit }));
    }

    /// A figure beside what it is measured against, in the same run: `figure NAME VALUE UNIT ratio R of REFERENCE`.
    pub fn compare(&mut self, name: &str, value: f64, unit: &str, (reference, of): (&str, f64)) {
        self.compare_rounds(name, value, unit, (reference, of), value / of);
    }

    /// The same with a ratio of its own: the median of many rounds' ratios is steadier than the ratio of two medians.
    pub fn compare_rounds(&mut self, name: &str, value: f64, unit: &str, (reference, of): (&str, f64), ratio: f64) {
        println!("figure {name} {value:.2} {unit} ratio {ratio:.3} of {reference} {of:.2}");
        let figure = format!("{value:.2} {unit}, {} {of:.2}", reference.replace('_', " "));
        self.bars.push(Bar { name: name.to_owned(), ratio, figure });
        self.all.push(json!({
            "name": name, "value": value, "unit": unit, "ratio": ratio, "reference": reference, "reference_value": of,
        }));
    }
}

/// Writes the JSON file and the picture, if they were asked for.
impl Drop for Figures {
    fn drop(&mut self) {
        if let Some(path) = &self.json {
            let text = serde_json::to_string_pretty(&self.all).expect("figures are plain JSON");
            std::fs::write(path, text).expect("the JSON file can be written");
        }
        if let Some(path) = &self.svg {
            std::fs::write(path, picture::draw(&self.bars)).expect("the picture can be written");
        }
    }
}

/// Processor time that this process took so far, in all threads that live. Unlike the time on the wall it does not grow
/// with what else the machine does.
pub fn processor_time() -> std::time::Duration {
    process_time(std::process::id())
}

/// The same of another process.
pub fn process_time(process: u32) -> std::time::Duration {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("Linux lists threads");
    let of = |task: std::io::Result<std::fs::DirEntry>| -> Option<u64> {
        let times = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
        times.split(' ').next()?.parse().ok()
    };
    std::time::Duration::from_nanos(tasks.filter_map(of).sum())
}

/// The value that this share of all values does not exceed: 0.5 is the median, 0.99 the p99.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    assert!(!values.is_empty(), "nothing was measured");
    values.sort_unstable_by(f64::total_cmp);
    let rank = (share * values.len() as f64).ceil() as usize;
    values[rank.clamp(1, values.len()) - 1]
}

/// The middle value.
pub fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}
