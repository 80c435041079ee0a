//! The schema that frontends rely on.

#[test]
fn the_checked_in_schema_is_the_one_that_is_served() {
    let checked_in = include_str!("../../schema.graphql");

    assert_eq!(checked_in, gateway::sdl(), "write it anew: cargo run -- schema > gateway/schema.graphql");
}

#[test]
fn every_type_field_and_argument_is_described() {
    let sdl = gateway::sdl();
    let mut described = false;
    for line in sdl.lines().map(str::trim) {
        let declares = ["type ", "input ", "enum ", "interface ", "scalar "].iter().any(|word| line.starts_with(word))
            || line.contains(": ")
                && !line.starts_with('"')
                && !line.starts_with("query:")
                && !line.starts_with("mutation:");
        if declares && !line.starts_with("directive") && !line.starts_with("):") {
            assert!(described, "not described: {line}");
        }
        described = line.starts_with('"');
    }
}
