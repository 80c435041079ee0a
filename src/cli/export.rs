//! `eventix export seating-plan`: a plan as the open seating-plan JSON, chunk by chunk.

use std::fs::File;
use std::io::{Write, stdout};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use common::proto::catalog::v1::ExportSeatingPlanRequest;

use super::catalog_client::{connect, in_words};
use crate::folder::Folder;

const PATIENCE: Duration = Duration::from_secs(120);

/// Which plan, and where to.
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The plan's id, as `import` prints it
    #[arg(value_name = "ID")]
    id: String,
    /// Data folder of the running product
    #[arg(long, value_name = "DIR", default_value = "./data")]
    data: PathBuf,
    /// File to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(super) async fn run(args: ExportArgs) -> anyhow::Result<()> {
    let run = Folder::existing(&args.data)?.running()?;
    let (mut catalog, caller) = connect(run.grpc.catalog, PATIENCE)?;
    let request = caller.request(ExportSeatingPlanRequest { seating_plan_id: args.id });
    let mut chunks = catalog.export_seating_plan(request).await.map_err(|status| in_words(&status))?.into_inner();

    // The first chunk comes before the file is made, so that a refusal leaves no empty file behind.
    let mut next = chunks.message().await.map_err(|status| in_words(&status))?;
    let mut out: Box<dyn Write> = match &args.out {
        Some(path) => Box::new(File::create(path).with_context(|| format!("cannot write {}", path.display()))?),
        None => Box::new(stdout().lock()),
    };
    while let Some(message) = next {
        out.write_all(&message.chunk).context("cannot write the plan")?;
        next = chunks.message().await.map_err(|status| in_words(&status))?;
    }
    out.flush().context("cannot write the plan")
}
