//! The long attacks behind `cargo xtask attack`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a command says what it does, in real time"
)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use interop_tests::attack::sieges::{ALL, Siege};

/// How often it is said that an attack goes on.
const PROGRESS_EVERY: Duration = Duration::from_secs(10);

/// Attacks on a talkbridge of its own, one after the other.
#[derive(Parser)]
struct Arguments {
    /// How long each attack goes on, in minutes.
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    minutes: f64,
    /// Names the attacks and ends.
    #[arg(long)]
    list: bool,
    /// The attacks; all of them unless named.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Some(length) = Duration::try_from_secs_f64(arguments.minutes * 60.0).ok() else {
        eprintln!("error: --minutes is a number from 0");
        return ExitCode::FAILURE;
    };
    let unknown = |name: &&String| ALL.iter().all(|siege| siege.name != **name);
    let unknown: Vec<&String> = arguments.names.iter().filter(unknown).collect();
    if arguments.list || !unknown.is_empty() {
        for siege in ALL {
            println!("{:<16}{}", siege.name, siege.meaning);
        }
        if let Some(name) = unknown.first() {
            eprintln!("error: no attack is named {name}");
            return ExitCode::FAILURE;
        }
        return ExitCode::SUCCESS;
    }
    let wanted = |siege: &Siege| {
        arguments.names.is_empty() || arguments.names.iter().any(|name| name == siege.name)
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("threads are left");
    let mut broke = 0;
    for siege in ALL.into_iter().filter(wanted) {
        println!("{:<16}{}", siege.name, siege.meaning);
        let outcome = runtime.block_on(watched(siege, length));
        match outcome {
            Ok(done) => println!("{:<16}held   {done}", siege.name),
            Err(why) => {
                broke += 1;
                println!("{:<16}broke  {why}", siege.name);
            }
        }
    }
    if broke == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs one and says that it goes on; a panic of it is why it broke.
async fn watched(siege: Siege, length: Duration) -> Result<String, String> {
    let began = Instant::now();
    let mut attack = tokio::spawn((siege.run)(length));
    let mut progress = tokio::time::interval(PROGRESS_EVERY);
    progress.tick().await;
    loop {
        tokio::select! {
            ended = &mut attack => {
                return ended.map_err(|error| match error.try_into_panic() {
                    Ok(panic) => panic
                        .downcast_ref::<String>()
                        .cloned()
                        .or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()))
                        .unwrap_or_else(|| "it panicked".to_owned()),
                    Err(error) => error.to_string(),
                });
            }
            _ = progress.tick() => {
                println!("{:<16}{} s of {} s", siege.name, began.elapsed().as_secs(), length.as_secs());
            }
        }
    }
}
