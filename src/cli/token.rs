//! `eventix token`: a development token, without a running product.

use std::sync::Arc;

use clap::{Args, ValueEnum};
use common::auth::Role;
use common::clock::SystemClock;
use common::dev_issuer::DevIssuer;

/// Whose token.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ALICE=$(eventix token --user alice --role Customer)")]
pub(super) struct TokenArgs {
    /// Name of the user: the token's subject
    #[arg(long, value_name = "NAME")]
    user: String,
    /// What the user may do
    #[arg(long, value_enum)]
    role: UserRole,
}

/// The roles that people have.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum UserRole {
    /// Organisers and box offices
    #[value(name = "Admin")]
    Admin,
    /// People who buy
    #[value(name = "Customer")]
    Customer,
}

pub(super) fn run(args: &TokenArgs) -> anyhow::Result<()> {
    let role = match args.role {
        UserRole::Admin => Role::Admin,
        UserRole::Customer => Role::Customer,
    };
    println!("{}", DevIssuer::new(Arc::new(SystemClock))?.mint(&args.user, role)?);
    Ok(())
}
