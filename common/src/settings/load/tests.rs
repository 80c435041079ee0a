use std::time::Duration;

use serde::Deserialize;

use super::super::{DatabaseSettings, Endpoints, Mode, Peer, Process};
use super::*;

#[derive(Debug, Serialize, Deserialize)]
#[serde(default)]
struct Config {
    #[serde(flatten)]
    process: Process,
    database: DatabaseSettings,
    catalog: Peer,
    #[serde(with = "humantime_serde")]
    hold: Duration,
    brokers: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            process: Process::on_loopback(50052, 50062),
            database: DatabaseSettings::at("sqlite://booking.db"),
            catalog: Peer::on_loopback(50051),
            hold: Duration::from_secs(600),
            brokers: "127.0.0.1:50054".into(),
        }
    }
}

impl Settings for Config {
    const SERVICE: &'static str = "booking";

    fn faults(&self) -> Vec<Fault> {
        let mut faults = self.database.faults_inside("database", &self.process);
        faults.extend(self.process.faults());
        if self.hold.is_zero() {
            faults.push(Fault::new("hold", "must be longer than nothing"));
        }
        faults
    }
}

fn loaded(variables: &[(&str, &str)]) -> Result<Config, Faults> {
    Loader::new::<Config>().environment(pairs(variables)).load()
}

fn pairs(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    variables.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn what_comes_later_wins() {
    let file =
        file("hold = \"5m\"\nbrokers = \"file:1\"\n[database]\nconnections = 3\n[catalog]\nendpoints = \"http://f:1\"");

    let config: Config = Loader::new::<Config>()
        .place("database.url", "sqlite://folder/booking.db")
        .place("brokers", "place:1")
        .file(Some(file.path()))
        .environment(pairs(&[("EVENTIX_BOOKING__HOLD", "90s"), ("EVENTIX_BOOKING__BROKERS", "env:1")]))
        .flag("--brokers", "brokers", Some("flag:1"))
        .flag("--listen", "listen", None::<String>)
        .load()
        .unwrap();

    assert_eq!(config.hold, Duration::from_secs(90));
    assert_eq!(config.brokers, "flag:1");
    assert_eq!(config.database.connections, 3);
    assert_eq!(config.database.url.expose(), "sqlite://folder/booking.db");
    assert_eq!(config.catalog.endpoints, Endpoints::try_from("http://f:1".to_owned()).unwrap());
    assert_eq!(config.process.listen.port(), 50052);
}

#[test]
fn text_of_the_environment_is_read_as_the_setting_wants_it() {
    let config = loaded(&[
        ("EVENTIX_BOOKING__DATABASE__CONNECTIONS", "7"),
        ("EVENTIX_BOOKING__DATABASE__MIGRATE", "false"),
        ("EVENTIX_BOOKING__ALLOW_PLAINTEXT", "true"),
        ("EVENTIX_BOOKING__AUTH__CLIENT_SECRET", "007"),
        ("EVENTIX_BOOKING__AUTH__CA_FILE", ""),
        ("EVENTIX_BOOKING__AUTH__CLIENT_ID", "42"),
    ])
    .unwrap_err();
    assert!(config.lines().iter().all(|line| line.ends_with("is missing")), "{config}");

    let config = loaded(&[
        ("EVENTIX_BOOKING__DATABASE__CONNECTIONS", "7"),
        ("EVENTIX_BOOKING__DATABASE__MIGRATE", "false"),
        ("EVENTIX_BOOKING__ALLOW_PLAINTEXT", "true"),
    ])
    .unwrap();
    assert_eq!(config.database.connections, 7);
    assert!(!config.database.migrates(Mode::Development));
    assert!(config.process.allow_plaintext);
}

#[test]
fn every_fault_is_told_at_once_and_by_name() {
    let file = file("hold = 5\n[database]\nconections = 3\n[kafka]\ntls = true");

    let faults = Loader::new::<Config>()
        .file(Some(file.path()))
        .environment(pairs(&[
            ("EVENTIX_BOKING__HOLD", "1m"),
            ("EVENTIX_BOOKING__DATABSE__URL", "postgres://u:hunter2@h/d"),
            ("EVENTIX_BOOKING__NONSENSE", "1"),
            ("EVENTIX_BOOKING__DATABASE", "sqlite://x"),
            ("EVENTIX_BOOKING__DATABASE__CONNECTIONS", "many"),
            ("EVENTIX_BOOKING__DATABASE__ACQUIRE_TIMEOUT", "0s"),
            ("EVENTIX_BOOKING__MODE", "prod"),
            ("EVENTIX_BOOKING__LISTEN", "0.0.0.0:50052"),
            ("EVENTIX_BOOKING__CATALOG__ENDPOINTS", "catalog:50051"),
            ("EVENTIX_BOOKING__database__migrate", "true"),
            ("EVENTIX_PAYMENT__WHATEVER", "not ours to judge"),
            ("EVENTIX_TEST_POSTGRES", "no setting"),
        ]))
        .flag("--hold-minutes", "hold", Some("0s"))
        .load::<Config>()
        .unwrap_err();

    let said = faults.to_string();
    assert!(said.starts_with("settings of booking cannot be used\n"), "{said}");
    for expected in [
        "hold in ",
        "database.conections in ",
        "did you mean database.connections?",
        "kafka.tls in ",
        "EVENTIX_BOKING__HOLD: there is no service of that name",
        "EVENTIX_BOOKING__DATABSE__URL: unknown; did you mean EVENTIX_BOOKING__DATABASE__URL?",
        "EVENTIX_BOOKING__NONSENSE: unknown",
        "EVENTIX_BOOKING__DATABASE: is a section of settings, not a value",
        "EVENTIX_BOOKING__DATABASE__CONNECTIONS: invalid type: string \"many\", expected u32",
        "EVENTIX_BOOKING__DATABASE__ACQUIRE_TIMEOUT: must be longer than nothing",
        "EVENTIX_BOOKING__MODE: unknown variant `prod`, expected `development` or `production`",
        "EVENTIX_BOOKING__LISTEN: is 0.0.0.0:50052: the development issuer",
        "EVENTIX_BOOKING__CATALOG__ENDPOINTS: \"catalog:50051\" is not an address",
        "EVENTIX_BOOKING__database__migrate: unknown",
        "--hold-minutes: must be longer than nothing",
    ] {
        assert!(said.contains(expected), "{expected} is missing in:\n{said}");
    }
    assert!(!said.contains("WHATEVER") && !said.contains("TEST_POSTGRES"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn a_file_that_cannot_be_used_is_named_without_its_lines() {
    let broken = file("hold = \"1m\"\n[auth]\nclient_secret = \"hunter2\nissuer = \"x\"");
    let typed = file("[auth]\nclient_secret = 123456\n[database]\nurl = [\"hunter2\"]");

    let refusal = |path: &Path| Loader::new::<Config>().file(Some(path)).load::<Config>().unwrap_err().to_string();

    let said = refusal(broken.path());
    assert!(said.contains("is not TOML: line 3") && !said.contains("hunter2"), "{said}");
    let said = refusal(typed.path());
    assert!(said.contains("auth.client_secret in ") && said.contains("database.url in "), "{said}");
    assert!(!said.contains("123456") && !said.contains("hunter2"), "{said}");
    assert!(refusal(Path::new("no/such/file.toml")).contains("no/such/file.toml: cannot be read"));
}

#[test]
fn reserved_settings_keep_their_defaults() {
    let load = |value: &str| {
        let variables = pairs(&[("EVENTIX_BOOKING__MODE", value), ("EVENTIX_BOOKING__HOLD", "1m")]);
        Loader::new::<Config>().reserve(&["mode", "auth"], "is not for this").environment(variables).load::<Config>()
    };

    assert!(load("development").is_ok());
    assert!(load("production").unwrap_err().to_string().contains("EVENTIX_BOOKING__MODE: is not for this"));
}

#[test]
fn a_command_is_told_only_about_the_sections_it_needs() {
    let variables = [("EVENTIX_BOOKING__HOLD", "0s"), ("EVENTIX_BOOKING__DATABASE__CONNECTIONS", "0")];

    let load =
        |variables| Loader::new::<Config>().concerning(["database"]).environment(pairs(variables)).load::<Config>();

    assert_eq!(load(&variables).unwrap_err().lines(), ["EVENTIX_BOOKING__DATABASE__CONNECTIONS: must be at least 1"]);
    assert!(load(&variables[..1]).is_ok());
    assert!(load(&[("EVENTIX_BOOKING__HOLDD", "1m")]).is_err(), "unknown names concern everybody");
}

#[test]
fn settings_validate_themselves_under_the_names_of_variables() {
    let bad = Config { hold: Duration::ZERO, ..Config::default() };

    assert_eq!(
        bad.validate().unwrap_err().to_string(),
        "settings of booking cannot be used\n  EVENTIX_BOOKING__HOLD: must be longer than nothing"
    );
    assert!(Config::default().validate().is_ok());
}
