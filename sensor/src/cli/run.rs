//! `sensor run`: attaches the programs, starts the threads, waits for a reason to stop, and
//! takes everything down again in the order that loses nothing.

mod beat;
mod delivery;
mod lay_out;
mod reload;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use aya::maps::{Array, PerCpuArray, RingBuf};

use super::{Failure, OK};
use crate::config::Config;
use crate::control::{Control, Instance};
use crate::detect::Detector;
use crate::detect::sigma::{Engine, Kinds};
use crate::event::alert::ALERT;
use crate::export::format::Format;
use crate::export::json;
use crate::export::pretty::Style;
use crate::export::writer::{Output, Writer};
use crate::identity::Identity;
use crate::metrics::serve;
use crate::pipeline::Pipeline;
use crate::probe::account::{KernelSide, UserSide};
use crate::probe::filters::Filters;
use crate::probe::load::{self, Loaded, Sizes, Trampolines};
use crate::probe::prevention::Prevention;
use crate::probe::privileges;
use crate::probe::program_log;
use crate::probe::programs::Programs;
use crate::probe::reader::{self, Lanes, Reader};
use crate::probe::selection::Selection;
use crate::random;
use crate::respond::firewall::Firewall;
use crate::respond::hands::Hands;
use crate::respond::journal::Left;
use crate::respond::outbox::outbox;
use crate::respond::responder::Responder;
use crate::service::Manager;
use crate::shed;
use crate::state::Keeper;
use crate::status::Status;
use crate::track::Tracker;
use delivery::Delivery;
use reload::Reload;

/// How long an event may take to be written once the sensor is told to stop.
const LAST_WRITE: Duration = Duration::from_secs(5);

/// Options of `sensor run`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Configuration file (TOML); options given here override it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Form of the output; pretty on a terminal, json otherwise.
    #[arg(long, value_enum)]
    output: Option<Output>,
    /// Format of the output, unless it is pretty.
    #[arg(long, value_enum)]
    schema: Option<Format>,
    /// Observe and deliver only these kinds or families of event, separated by commas
    /// (process.exec,network,file.*); `alert` for nothing but alerts, which are always delivered.
    #[arg(long, value_delimiter = ',', value_name = "KINDS")]
    events: Vec<String>,
    /// Stop after this time (20s, 5m, 1h).
    #[arg(long, value_parser = parse_duration, value_name = "TIME")]
    duration: Option<Duration>,
    /// Do not patch kernel functions (fentry, fexit), as if the kernel refused it.
    #[arg(long)]
    no_trampolines: bool,
    /// Deliver events only, without looking for intruders in them.
    #[arg(long)]
    no_detection: bool,
    /// Directory of the control socket and the lock.
    #[arg(long, value_name = "DIR")]
    runtime_directory: Option<PathBuf>,
    /// Directory of what is remembered across starts: what services usually do.
    #[arg(long, value_name = "DIR")]
    state_directory: Option<PathBuf>,
}

/// A number with a unit: ms, s, m or h.
fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits
        .parse()
        .map_err(|_| format!("{text:?} is no time; try 30s, 5m or 1h"))?;
    match text.get(digits.len()..) {
        Some("ms") => Ok(Duration::from_millis(number)),
        Some("s" | "") => Ok(Duration::from_secs(number)),
        Some("m") => Ok(Duration::from_secs(number.saturating_mul(60))),
        Some("h") => Ok(Duration::from_secs(number.saturating_mul(3600))),
        _ => Err(format!("{text:?} has an unknown unit; use ms, s, m or h")),
    }
}

impl Arguments {
    fn into_config(self) -> Result<(Config, Option<Duration>), Failure> {
        let mut config = match &self.config {
            Some(path) => Config::load(path).map_err(Failure::usage)?,
            None => Config::default(),
        };
        config.output = self.output.or(config.output);
        config.schema = self.schema.unwrap_or(config.schema);
        if !self.events.is_empty() {
            config.events = self.events;
        }
        config.trampolines &= !self.no_trampolines;
        config.detection &= !self.no_detection;
        if let Some(directory) = self.runtime_directory {
            config.runtime_directory = directory;
        }
        if let Some(directory) = self.state_directory {
            config.state_directory = directory;
        }
        Ok((config, self.duration))
    }
}

/// Watches until told to stop.
pub fn run(arguments: Arguments) -> Result<u8, Failure> {
    let reload = arguments.config.clone();
    let (config, duration) = arguments.into_config()?;
    let selection = if config.events.is_empty() {
        Selection::all()
    } else {
        selection_of(&config.events)?
    };
    let selection = selection.with_detection(config.detection);
    require_privileges()?;
    let instance = Instance::claim(&config.runtime_directory).map_err(Failure::refused)?;
    let sizes = Sizes {
        process_ring: config.limits.process_ring_kib * 1024,
        file_ring: config.limits.file_ring_kib * 1024,
    };
    let trampolines = if config.trampolines {
        Trampolines::Use
    } else {
        Trampolines::Avoid
    };
    let loaded = load::load(sizes, &selection, trampolines).map_err(Failure::refused)?;
    give_memory_back();
    // Before there is any other thread, because each has privileges of its own.
    shed::everything_but_what_is_used();
    watch(&config, reload, selection, duration, instance, loaded).map_err(Failure::refused)
}

/// The kinds of event with these names.
pub fn selection_of(names: &[String]) -> Result<Selection, Failure> {
    Selection::parse(names.iter().map(String::as_str)).map_err(|name| {
        let known = sensor_common::kind::ALL
            .iter()
            .map(|(_, _, name)| *name)
            .collect::<Vec<_>>();
        Failure::usage(anyhow!(
            "no kind of event is called {name:?}; there are {}",
            known.join(", ")
        ))
    })
}

/// Observing others needs privileges; say so before the kernel does in its own words.
fn require_privileges() -> Result<(), Failure> {
    let missing = privileges::missing();
    if missing.is_empty() {
        return Ok(());
    }
    // SAFETY: no preconditions.
    let root = unsafe { libc::geteuid() } == 0;
    let advice = if root {
        "root has been stripped of them, by a container or a service manager; give them back to this one"
    } else {
        "this needs root: try `sudo sensor run`"
    };
    Err(Failure::refused(anyhow!(
        "missing privileges: {}; {advice}",
        missing.join(", ")
    )))
}

fn watch(
    config: &Config,
    reload: Option<PathBuf>,
    selection: Selection,
    duration: Option<Duration>,
    instance: Instance,
    mut loaded: Loaded,
) -> anyhow::Result<u8> {
    if config.detection {
        // Before the files are watched, which goes by what is there.
        lay_out::make_decoys(&config.decoys()?);
    }
    let filters = Filters::new(&mut loaded.ebpf, config.file_rules()?)?;
    let (prevented, spared) = config.respond.prevention()?;
    let prevention = Prevention::new(&mut loaded.ebpf, prevented, spared)?;
    let mut take = |name| {
        loaded
            .ebpf
            .take_map(name)
            .with_context(|| format!("no map {name} in the object"))
    };
    let rings = Lanes {
        process: RingBuf::try_from(take("RING_PROCESS")?)?,
        file: RingBuf::try_from(take("RING_FILE")?)?,
    };
    let asleep = Array::try_from(take("READER_ASLEEP")?)?;
    let kernel = KernelSide::new(PerCpuArray::try_from(take("COUNTS")?)?);
    let counters = Arc::new(UserSide::default());
    let status = Arc::new(Status::new(
        &loaded.served,
        kernel,
        Programs::of(&loaded.ebpf),
        Arc::clone(&counters),
    ));

    let style = Style::for_stream(std::io::stdout());
    let output = config.output.unwrap_or(if style.width > 0 {
        Output::Pretty
    } else {
        Output::Json
    });
    let mut writer = Writer::new(std::io::stdout(), output, config.schema, style);
    let origin = Arc::new(Identity::here(&config.state_directory, &config.identity));
    writer.origin = Arc::clone(&origin);
    let delivery = Delivery::start(config, &mut writer, &status)?;
    let tracker = Tracker::new(config.limits.processes)?;
    let (producer, consumer) = reader::queues();
    let (renew, renewals) = mpsc::channel();
    let kinds = Kinds::where_observed(|name| name == ALERT.name || selection.observes(name));
    let keeper = config.detection.then(|| keeper(&config.state_directory));
    let keeper = keeper.flatten();
    let mut detector = config
        .detection
        .then(|| detector(config, &kinds, keeper.as_ref()));
    let content = match &mut detector {
        Some(detector) if config.content.enabled => {
            let (counters, renewer) = detector.scan_content(config.content.settings())?;
            let _ = status.content.set(counters);
            Some(renewer)
        }
        _ => None,
    };
    let (outbox, mut inbox) = outbox(Arc::clone(&status.responses));
    inbox.earlier = earlier(&config.state_directory);
    let playbooks = config.respond.playbooks()?;
    let responder = Responder::start(playbooks, hands(config, origin)?, outbox.clone())?;
    let intelligence = detector
        .as_mut()
        .and_then(|detector| lay_out::intelligence(config, detector, &status, &outbox));
    if let Some(detector) = &mut detector {
        lay_out::decoys(config, detector, &status)?;
    }
    let run = random::number();
    let mut pipeline = Pipeline::new(
        consumer,
        run,
        tracker,
        detector,
        filters,
        prevention,
        renewals,
        inbox,
        responder.handle(),
        writer,
        selection,
        Arc::clone(&status),
    );
    let lifeline = beat::lifeline(
        &config.state_directory,
        run,
        &status,
        &mut pipeline.previous,
    );

    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let pipeline = thread::Builder::new()
        .name("pipeline".to_owned())
        .spawn(move || pipeline.run(&stopped))?;
    let reader = Reader::start(rings, asleep, producer, counters, pipeline.thread().clone())?;

    let reload = Reload {
        path: reload,
        renew,
        content,
        intelligence,
        kinds,
        responder: responder.handle(),
        pipeline: pipeline.thread().clone(),
    };
    let control = Control {
        status: Arc::clone(&status),
        outbox,
        responder: responder.handle(),
    };
    let manager = Manager::from_environment();
    let reason = wait(
        config,
        duration,
        reload,
        &instance,
        control,
        &manager,
        &mut loaded,
    )?;
    tracing::debug!(reason, "stopping");
    manager.stopping();

    // Programs off first; then, once none is running any more, the last records can be read.
    loaded.detach();
    wait_for_programs();
    let end = move || {
        reader.finish();
        // What it has yet to do, the pipeline has yet to write.
        responder.finish();
        stop.store(true, Ordering::Release);
        pipeline.thread().unpark();
        let ended = pipeline.join();
        // With the pipeline, everything that may still want something kept has ended.
        if let Some(keeper) = keeper {
            keeper.finish();
        }
        ended
    };
    let code = end_of(end, &status)?;
    if let Some(delivery) = delivery {
        delivery.finish();
    }
    // Where nobody took the last events, nobody knows that it stopped.
    if let Some(lifeline) = lifeline
        && !status.output_closed.load(Ordering::Acquire)
    {
        lifeline.finish();
    }
    Ok(code)
}

/// Waits for the last events to be written, as long as any is: whoever reads them may have
/// stopped to, without closing the pipe.
fn end_of(
    end: impl FnOnce() -> thread::Result<()> + Send + 'static,
    status: &Status,
) -> anyhow::Result<u8> {
    let (done, ended) = mpsc::channel();
    thread::Builder::new().spawn(move || done.send(end()))?;
    let mut handled = None;
    while handled != Some(status.user.handled()) {
        handled = Some(status.user.handled());
        match ended.recv_timeout(LAST_WRITE) {
            Ok(Ok(())) => return Ok(OK),
            Ok(Err(_)) => return Err(anyhow!("the pipeline ended by a panic")),
            Err(_) => {}
        }
    }
    Err(anyhow!(
        "nobody has taken an event from standard output for {} s; stopped without the last ones",
        LAST_WRITE.as_secs()
    ))
}

/// What playbooks act with.
fn hands(config: &Config, origin: Arc<Identity>) -> anyhow::Result<Hands> {
    Ok(Hands {
        firewall: Firewall::open(config.respond.firewall()).map_err(|error| error.to_string()),
        protected: Arc::new(config.respond.protected()?),
        state: config.state_directory.clone(),
        as_json: Arc::new(move |event| json::ecs(&event.fields_from(&origin)).unwrap_or_default()),
        runs: Arc::default(),
    })
}

/// What was done about intruders while no sensor ran.
fn earlier(state: &Path) -> Option<Left> {
    match Left::read(state) {
        Ok(left) => {
            if let Some(broken) = left.as_ref().map(|left| left.broken).filter(|&n| n > 0) {
                tracing::warn!(broken, "lines in the journal of responses cannot be read");
            }
            left
        }
        Err(error) => {
            tracing::warn!(%error, "what was done while no sensor ran cannot be read, and is not reported");
            None
        }
    }
}

/// Everything that finds intruders. Rules that cannot be used are left out, and named.
fn detector(config: &Config, kinds: &Kinds, keeper: Option<&Keeper>) -> Detector {
    let rules = &config.rules;
    let (engine, problems) = Engine::load(&rules.directories, rules.builtin, kinds);
    for problem in &problems {
        tracing::warn!(%problem, "a rule cannot be used");
    }
    let mut detector = Detector::default();
    detector.set_rules(Box::new(engine));
    if let Some(keeper) = keeper
        && let Err(error) = recall(&mut detector, keeper)
    {
        tracing::warn!(%error, "what was learned of services cannot be used; it is learned anew");
    }
    detector
}

/// What earlier runs learned, and where this one has it kept.
fn recall(detector: &mut Detector, keeper: &Keeper) -> anyhow::Result<()> {
    Ok(detector.remember(keeper.memory("services")?)?)
}

/// Where what is learned is kept, if that can be had.
fn keeper(directory: &Path) -> Option<Keeper> {
    match Keeper::start(directory) {
        Ok(keeper) => Some(keeper),
        Err(error) => {
            tracing::warn!(directory = %directory.display(), %error, "nothing can be remembered across starts; choose another --state-directory");
            None
        }
    }
}

/// Until a signal, the end of the time, or the end of whoever read the output.
fn wait(
    config: &Config,
    duration: Option<Duration>,
    reload: Reload,
    instance: &Instance,
    control: Control,
    manager: &Manager,
    loaded: &mut Loaded,
) -> anyhow::Result<&'static str> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hang_up = signal(SignalKind::hangup())?;
        let control = Arc::new(control);
        let listener = instance.listen().with_context(|| {
            format!(
                "no control socket in {}",
                config.runtime_directory.display()
            )
        })?;
        let end = async {
            match duration {
                Some(duration) => tokio::time::sleep(duration).await,
                None => std::future::pending().await,
            }
        };
        let closed = async {
            while !control.status.output_closed.load(Ordering::Acquire) {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        let reloads = async {
            while hang_up.recv().await.is_some() {
                manager.reloading();
                reload.now();
                manager.ready();
            }
        };
        let metrics = match config.metrics.listen {
            Some(address) => Some(serve::listen(address).with_context(|| {
                format!("no metrics at {address}; choose another metrics.listen")
            })?),
            None => None,
        };
        let scrapes = async {
            match metrics {
                Some(listener) => serve::serve(listener, Arc::clone(&control.status)).await,
                None => std::future::pending().await,
            }
        };
        Ok(tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            () = reloads => "no more signals",
            () = end => "duration",
            () = beat::beat(manager, &control.status) => "service manager",
            () = closed => "output closed",
            () = scrapes => "no more metrics",
            () = Arc::clone(&control).serve(&listener) => "control",
            () = program_log::pass_on(&mut loaded.ebpf) => "program log",
        })
    })
}

/// Waits until every program that was running when they were detached has ended:
/// `MEMBARRIER_CMD_GLOBAL` is a `synchronize_rcu()`, and programs run in RCU sections.
fn wait_for_programs() {
    const MEMBARRIER_CMD_GLOBAL: libc::c_int = 1;
    // SAFETY: no memory is passed. Where it is not available the last few records may be
    // read without being accounted for; nothing else depends on it.
    unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
}

/// Loading takes several times the memory that is needed afterwards, most of it for the kernel's
/// types; the allocator would keep it.
fn give_memory_back() {
    // SAFETY: no preconditions.
    unsafe { libc::malloc_trim(0) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(parse_duration("20s").unwrap(), Duration::from_secs(20));
        assert_eq!(parse_duration("250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(parse_duration("2m").unwrap(), Duration::from_secs(120));
        assert!(parse_duration("soon").unwrap_err().contains("30s"));
        assert!(parse_duration("5 days").is_err());
    }
}
