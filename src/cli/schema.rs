//! `eventix schema`: the GraphQL schema as SDL, the same text as `gateway/schema.graphql`.

use std::io::Write;

pub(super) fn run() -> anyhow::Result<()> {
    std::io::stdout().write_all(gateway::sdl().as_bytes())?;
    Ok(())
}
