//! What stands in `deploy/`, as far as it can be checked without a container engine: the compose file is one, and every
//! process in it would accept its settings.

#![expect(clippy::unwrap_used, reason = "all of it is test code, helpers too")]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::settings::Loader;
use eventix::services::Service;
use serde_json::{Map, Value};

/// Replicas of each service.
const REPLICAS: usize = 2;

fn compose_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/compose.yaml")
}

#[expect(clippy::disallowed_methods, reason = "a tool of the test run, not a setting of the product")]
fn python(arguments: &[&str]) -> Output {
    let python = std::env::var("EVENTIX_TEST_PYTHON").expect("EVENTIX_TEST_PYTHON: run the tests through ./tests/run");
    Command::new(python).args(arguments).arg(compose_file()).output().unwrap()
}

/// The compose file's services, anchors and merges resolved.
fn services() -> Map<String, Value> {
    let program = "import json, sys; from ruamel.yaml import YAML; json.dump(YAML(typ='safe').load(open(sys.argv[1])), sys.stdout)";
    let output = python(&["-c", program]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let file: Value = serde_json::from_slice(&output.stdout).unwrap();
    file["services"].as_object().unwrap().clone()
}

/// What runs the image of this repository, by its first word.
fn processes(services: &Map<String, Value>) -> Vec<(&String, &str, &Value)> {
    let ours = services.iter().filter(|(_, service)| service["image"] == "eventix");
    ours.map(|(name, service)| (name, service["command"][0].as_str().unwrap(), service)).collect()
}

/// `${NAME:-default}` and `${NAME:?what it is}`, as compose fills them in for somebody who set what must be set.
fn filled_in(text: &str) -> String {
    let Some((before, rest)) = text.split_once("${") else { return text.to_owned() };
    let (variable, after) = rest.split_once('}').unwrap();
    let value = match variable.split_once(":-") {
        Some((_, default)) => default,
        None => {
            assert!(variable.contains(":?"), "{variable} has neither a default nor a word for whoever forgot it");
            "https://issuer.example.com/"
        }
    };
    format!("{before}{value}{}", filled_in(after))
}

fn environment(service: &Value) -> Vec<(OsString, OsString)> {
    let variables = service["environment"].as_object().unwrap().iter();
    variables.map(|(name, value)| (name.into(), filled_in(value.as_str().unwrap()).into())).collect()
}

fn load<S: Service>(service: &Value) -> S {
    let loaded = Loader::new::<S>().environment(environment(service)).load::<S>();
    loaded.unwrap_or_else(|faults| panic!("{faults}"))
}

fn databases_of<S: Service>(migration: &Value) -> Vec<String> {
    let loader = Loader::new::<S>().concerning(S::DATABASES.iter().map(|(section, _)| *section));
    let settings: S = loader.environment(environment(migration)).load().unwrap_or_else(|faults| panic!("{faults}"));
    settings.databases().into_iter().map(|database| database.url.to_string()).collect()
}

#[test]
fn the_compose_file_follows_the_compose_specification() {
    let output = python(&["-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]);

    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn every_process_accepts_its_settings_and_there_are_two_of_each() {
    let services = services();
    let mut replicas: BTreeMap<&str, usize> = BTreeMap::new();

    for (name, command, service) in processes(&services) {
        let process = match command {
            "catalog" => load::<catalog::Config>(service).process,
            "booking" => load::<booking::Config>(service).process,
            "payment" => load::<payment::Config>(service).process,
            "gateway" => load::<gateway::Config>(service).process,
            other => {
                assert_eq!(other, "migrate", "{name}");
                continue;
            }
        };
        assert!(process.is_production() && process.auth.is_set(), "{name}");
        let probe = service["healthcheck"]["test"].as_array().unwrap();
        assert_eq!(*probe.last().unwrap(), format!("127.0.0.1:{}", process.admin_listen.port()), "{name}");
        *replicas.entry(command).or_default() += 1;
    }

    assert_eq!(
        replicas.into_iter().collect::<Vec<_>>(),
        [("booking", REPLICAS), ("catalog", REPLICAS), ("gateway", REPLICAS), ("payment", REPLICAS)]
    );
}

#[test]
fn migrations_connect_as_owners_and_services_as_applications() {
    let services = services();
    let migration = &services["migrate"];
    let mut owners = databases_of::<catalog::Config>(migration);
    owners.extend(databases_of::<booking::Config>(migration));
    owners.extend(databases_of::<payment::Config>(migration));
    let mut applications = databases_of::<catalog::Config>(&services["catalog-1"]);
    applications.extend(databases_of::<booking::Config>(&services["booking-1"]));
    applications.extend(databases_of::<payment::Config>(&services["payment-1"]));

    for (name, (owner, application)) in
        ["catalog", "booking", "payment", "provider"].into_iter().zip(owners.iter().zip(&applications))
    {
        let url = |role: &str| format!("postgres://eventix_{name}_{role}:***@postgres/eventix_{name}_db");
        assert_eq!((owner, application), (&url("owner"), &url("app")));
    }
    assert_eq!((owners.len(), applications.len()), (4, 4));
}

#[test]
fn containers_are_bare_and_start_in_order() {
    let services = services();

    for (name, _, service) in processes(&services) {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"][0], "ALL", "{name}");
        for (before, how) in service["depends_on"].as_object().unwrap() {
            let gated = match how["condition"].as_str().unwrap() {
                "service_healthy" => services[before]["healthcheck"].is_object(),
                condition => condition == "service_completed_successfully",
            };
            assert!(gated, "{name} waits for {before}, which never says that it is ready");
        }
    }
}

#[test]
fn a_setting_that_nobody_knows_would_be_found() {
    let services = services();
    let mut variables = environment(&services["booking-1"]);
    variables.push(("EVENTIX_BOOKING__HOLDS".into(), "5m".into()));

    let faults = Loader::new::<booking::Config>().environment(variables).load::<booking::Config>().unwrap_err();

    assert_eq!(faults.lines(), ["EVENTIX_BOOKING__HOLDS: unknown; did you mean EVENTIX_BOOKING__HOLD?"]);
}
