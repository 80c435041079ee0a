//! Golden bytes: every fact that was ever told, as it stood on the log when it was released. They are read for ever, so a
//! file under `tests/golden` is never changed; a field that comes later is absent in them.

mod facts;

use std::collections::BTreeSet;
use std::fmt::{Debug, Write};
use std::path::PathBuf;

use common::fact::{Fact, NewFact};
use common::ids::FactId;
use common::proto::DESCRIPTORS;
use common::telemetry::Carrier;
use prost::{Message, Name};
use prost_types::FileDescriptorSet;
use uuid::Uuid;

/// What every golden record is about.
const AGGREGATE: &str = "01980000-0000-7000-8000-00000000000a";
const FACT: &str = "01980000-0000-7000-8000-0000000000fa";
const SEQUENCE: i64 = 3;
const OCCURRED_AT: &str = "2026-11-25T18:30:00.123456Z";
const HEX_DIGITS_PER_LINE: usize = 64;

/// One kind of fact: what was told, and whether golden bytes still say so.
struct Golden {
    name: String,
    /// For people who look into the file.
    shown: String,
    today: Vec<u8>,
    is_told_by: fn(&Golden, &Fact) -> bool,
}

impl Golden {
    fn of<M: Message + Name + Default + PartialEq + Debug>(payload: M) -> Self {
        let aggregate = Uuid::try_parse(AGGREGATE).unwrap();
        let id = FactId::parse(FACT).unwrap();
        let today = NewFact::of(aggregate, SEQUENCE, &payload).envelope(id, OCCURRED_AT.parse().unwrap());
        let is_told_by = |golden: &Self, fact: &Fact| {
            let ours = Fact::decode(&golden.today, Carrier::new()).unwrap().payload::<M>().unwrap();
            fact.is::<M>() && fact.payload::<M>().unwrap() == ours
        };
        Self { name: M::full_name(), shown: format!("{payload:#?}"), today, is_told_by }
    }

    fn path(&self) -> PathBuf {
        folder().join(format!("{}.txt", self.name))
    }

    /// The bytes as they were released.
    fn released(&self) -> Vec<u8> {
        let path = self.path();
        let text = std::fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{error}: {} has to hold\n{}", path.display(), self.text()));
        let digits: String = text.lines().filter(|line| !line.starts_with('#')).collect();
        let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        (0..digits.len()).step_by(2).map(byte).collect()
    }

    /// What the file of a fact that is released now has to hold.
    fn text(&self) -> String {
        let mut text = format!("# {}, as released: never changed.\n", self.name);
        for line in self.shown.lines() {
            let _ = writeln!(text, "# {line}");
        }
        let digits: String = self.today.iter().fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"));
        for line in digits.as_bytes().chunks(HEX_DIGITS_PER_LINE) {
            let _ = writeln!(text, "{}", String::from_utf8_lossy(line));
        }
        text
    }
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"))
}

/// Full names of all messages in the files that hold facts.
fn facts_of_the_contracts() -> BTreeSet<String> {
    let files = FileDescriptorSet::decode(DESCRIPTORS).unwrap().file;
    let files = files.into_iter().filter(|file| file.name().ends_with("/facts.proto"));
    files
        .flat_map(|file| {
            let package = file.package().to_owned();
            file.message_type.into_iter().map(move |message| format!("{package}.{}", message.name()))
        })
        .collect()
}

#[test]
fn every_fact_of_the_contracts_has_golden_bytes_and_nothing_else_has() {
    let known: BTreeSet<String> = facts::all().into_iter().map(|golden| golden.name).collect();
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let written: BTreeSet<String> = files.map(|name| name.trim_end_matches(".txt").to_owned()).collect();

    assert_eq!(facts_of_the_contracts(), known, "a fact of the contracts is missing in tests/it/golden/facts.rs");
    for golden in facts::all() {
        golden.released();
    }
    assert_eq!(written, known);
}

#[test]
fn golden_bytes_still_say_what_was_told() {
    for golden in facts::all() {
        let fact = Fact::decode(&golden.released(), Carrier::new()).unwrap();

        let place = (fact.id.to_string(), fact.aggregate_id.to_string(), fact.sequence);
        assert_eq!(place, (FACT.to_owned(), AGGREGATE.to_owned(), SEQUENCE), "{}", golden.name);
        assert_eq!((fact.kind.as_str(), fact.occurred_at), (golden.name.as_str(), OCCURRED_AT.parse().unwrap()));
        assert!((golden.is_told_by)(&golden, &fact), "{} reads as {:?}", golden.name, golden.shown);
    }
}

/// So old readers read what is told today: a field that came later is not set here, and nothing else may differ.
#[test]
fn the_same_fact_told_today_has_the_same_bytes() {
    for golden in facts::all() {
        assert_eq!(golden.today, golden.released(), "{} is told otherwise today", golden.name);
    }
}
