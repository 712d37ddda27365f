//! Options that worlds bring to a command ([`rlx::Arena`], [`rlx::Recorder`], [`rlx::Playable`]), as flags of it.
use clap::{Arg, ArgAction, ArgMatches, Command, builder::ValueParser, parser::ValueSource};
use rlx::{
    Registry, Table, World,
    config::{Key, Keys},
    refuse,
};
use serde_json::Value;

/// The options of a world for a command, if it brings any.
type KeysOf = fn(&World) -> Option<Keys>;

/// The commands that have such options, and whose options those are.
const COMMANDS: [(&str, KeysOf); 4] = [
    ("eval", |w| Some(w.parts.arena.as_ref()?.keys())),
    ("league", |w| Some(w.parts.arena.as_ref()?.keys())),
    ("record", |w| Some(w.parts.recorder.as_ref()?.keys())),
    ("play", |w| Some(w.parts.playable.as_ref()?.keys())),
];

/// The command line with the options of all worlds. Where two worlds have one of the same name it is there once.
pub fn add(registry: &Registry, command: Command) -> Command {
    COMMANDS.iter().fold(command, |command, (name, of)| {
        command.mut_subcommand(name, |sub| {
            registry.worlds().iter().fold(sub, |sub, world| {
                let keys = of(world);
                let new =
                    keys.iter().flat_map(Keys::iter).filter(|k| sub.get_arguments().all(|a| a.get_id() != &k.name));
                let new: Vec<Arg> = new.map(|key| flag(key, &world.name)).collect();
                sub.args(new)
            })
        })
    })
}

/// How a key is written as a flag.
pub fn dashed(key: &str) -> String {
    key.replace('_', "-")
}

fn flag(key: &Key, world: &str) -> Arg {
    let arg = Arg::new(key.name.clone()).long(dashed(&key.name)).help_heading(format!("Options of {world}"));
    let default = match &key.default {
        Value::String(text) => format!(" [default: {text}]"),
        Value::Number(n) => format!(" [default: {n}]"),
        Value::Array(items) if !items.is_empty() => {
            let words: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            format!(" [default: {}]", words.join(","))
        }
        _ => String::new(),
    };
    let choices =
        if key.choices.is_empty() { String::new() } else { format!(" [possible values: {}]", key.choices.join(", ")) };
    let arg = arg.help(format!("{}{default}{choices}", key.about.trim_end_matches('.')));
    if key.kind == "boolean" {
        return arg.action(ArgAction::SetTrue);
    }
    let arg = arg.value_name(dashed(&key.name).to_uppercase()).allow_negative_numbers(true);
    if key.items.is_some() {
        return arg.action(ArgAction::Append);
    }
    let key = key.clone();
    let parse = move |text: &str| -> Result<String, String> {
        // The flag is named already.
        let said =
            |e: rlx::Error| e.to_string().split_once(": ").map_or_else(|| e.to_string(), |(_, why)| why.to_owned());
        key.parse(text).map(|_| text.to_owned()).map_err(said)
    };
    arg.value_parser(ValueParser::from(parse))
}

/// The options that were given to a command.
#[derive(Clone, Debug, Default)]
pub struct Given(Vec<(String, Vec<String>)>);

impl Given {
    /// Those of the command that was called.
    pub fn of(registry: &Registry, matches: &ArgMatches) -> Self {
        let Some((name, sub)) = matches.subcommand() else { return Self::default() };
        let Some((_, of)) = COMMANDS.iter().find(|c| c.0 == name) else { return Self::default() };
        let keys: Vec<Key> =
            registry.worlds().iter().filter_map(of).flat_map(|k| k.iter().cloned().collect::<Vec<_>>()).collect();
        let mut given: Vec<(String, Vec<String>)> = Vec::new();
        for key in keys {
            let typed = sub.value_source(&key.name) == Some(ValueSource::CommandLine);
            if typed && given.iter().all(|(name, _)| *name != key.name) {
                let words = if key.kind == "boolean" {
                    vec!["true".into()]
                } else {
                    sub.get_many::<String>(&key.name).into_iter().flatten().cloned().collect()
                };
                given.push((key.name, words));
            }
        }
        Self(given)
    }

    /// The first of them, as a flag.
    pub fn first(&self) -> Option<String> {
        self.0.first().map(|(name, _)| format!("--{}", dashed(name)))
    }

    /// As values of `keys`, which are `world`'s, over their defaults.
    ///
    /// # Errors
    /// When one is not among them, or its value is wrong.
    pub fn table(&self, world: &str, keys: &Keys) -> anyhow::Result<Table> {
        let mut table = keys.defaults();
        for (name, words) in &self.0 {
            let Some(key) = keys.get(name) else { refuse!("--{} is none of {world}'s options", dashed(name)) };
            let value = match &key.items {
                Some(_) => words.clone().into(),
                None => key.parse(&words[words.len() - 1])?,
            };
            table.insert(name.clone(), value);
        }
        Ok(table)
    }
}
