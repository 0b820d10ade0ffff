//! Playbooks in the configuration, and the patterns in them.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use sensor::config::Config;
use sensor::respond::playbook::pattern::Pattern;

fuzz_target!(|text: &str| {
    let playbook = format!("[[respond.playbook]]\nname = 'fuzz'\n{text}");
    if let Ok(config) = Config::parse(&playbook, Path::new("fuzz.toml")) {
        // What was accepted can be in force.
        assert!(config.respond.playbooks().is_ok());
    }
    if let Some((pattern, text)) = text.split_once('\n')
        && let Ok(pattern) = Pattern::parse(pattern)
    {
        pattern.matches(text);
    }
});
