//! Who asks, and with whose token the services are asked.

use async_graphql::Context;
use common::auth::{Identity, Principal, Role, TokenError};
use common::error::ErrorKind;
use common::grpc::Caller;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use tokio::time::Instant;

use crate::error::{Code, Fault};

/// A verified token and whose it is; `None` for browsing without one.
pub struct Authenticated {
    principal: Principal,
    token: String,
}

/// Reads the `Authorization` header: absent is anonymous, present must be good, even for browsing.
///
/// # Errors
/// UNAUTHENTICATED, naming the check that failed; UNAVAILABLE while tokens cannot be verified at all.
pub async fn authenticate(identity: &Identity, headers: &HeaderMap) -> Result<Option<Authenticated>, Fault> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(header) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Fault::new(Code::Unauthenticated, "more than one authorization header"));
    }
    let principal = identity.verifier.verify_header(Some(header)).await.map_err(refused)?;
    let token = header.to_str().ok().and_then(|text| text.split_once(' ')).map(|(_, token)| token.trim().to_owned());
    Ok(Some(Authenticated { principal, token: token.unwrap_or_default() }))
}

fn refused(error: TokenError) -> Fault {
    match error.refusal() {
        (ErrorKind::Unauthenticated, _) => Fault::new(Code::Unauthenticated, error.to_string()),
        (_, reason) => {
            tracing::error!(reason, %error, "tokens cannot be verified");
            Fault::new(Code::Unavailable, "temporarily unavailable, try again")
        }
    }
}

impl Authenticated {
    /// Whether the token carries the role Admin.
    pub fn is_admin(&self) -> bool {
        self.principal.has(Role::Admin)
    }

    /// Whose token it is.
    pub fn subject(&self) -> &str {
        &self.principal.subject
    }
}

/// On whose behalf one request is answered.
pub struct Viewer {
    user: Option<(Principal, Caller)>,
    service: Caller,
}

impl Viewer {
    /// A viewer whose calls end at `deadline`.
    ///
    /// # Errors
    /// UNAVAILABLE when no service token can be had and nobody's own will do.
    pub async fn new(
        identity: &Identity,
        authenticated: Option<Authenticated>,
        deadline: Instant,
    ) -> Result<Self, Fault> {
        let deadline = deadline.into_std();
        let user = authenticated.map(|a| (a.principal, Caller::user(&a.token, deadline)));
        let service = match (Caller::service(identity.tokens.as_ref()).await, &user) {
            (Ok(service), _) => service.until(deadline),
            (Err(error), user) => {
                tracing::error!(error = format!("{error:#}"), "no service token");
                // What everybody may see, the user may see too.
                let caller = user.as_ref().map(|(_, caller)| caller.clone());
                caller.ok_or_else(|| Fault::new(Code::Unavailable, "temporarily unavailable, try again"))?
            }
        };
        Ok(Self { user, service })
    }

    /// The viewer of a request.
    pub fn of<'a>(ctx: &Context<'a>) -> &'a Self {
        ctx.data_unchecked()
    }

    /// Calls with the viewer's own token.
    ///
    /// # Errors
    /// UNAUTHENTICATED for an anonymous viewer.
    pub fn user(&self) -> Result<&Caller, Fault> {
        let Some((_, caller)) = &self.user else {
            return Err(Fault::new(Code::Unauthenticated, "a bearer token is required"));
        };
        Ok(caller)
    }

    /// Calls with the viewer's own token, which must carry the role Admin.
    ///
    /// # Errors
    /// UNAUTHENTICATED for an anonymous viewer, FORBIDDEN for another role.
    pub fn admin(&self) -> Result<&Caller, Fault> {
        let caller = self.user()?;
        if !self.is_admin() {
            return Err(Fault::new(Code::Forbidden, "this needs the role Admin"));
        }
        Ok(caller)
    }

    /// Whether the viewer's token carries the role Admin.
    pub fn is_admin(&self) -> bool {
        self.user.as_ref().is_some_and(|(principal, _)| principal.has(Role::Admin))
    }

    /// Whether the viewer showed a token.
    pub fn is_known(&self) -> bool {
        self.user.is_some()
    }

    /// Calls for public things: with the viewer's own token if there is one, else with the gateway's.
    pub fn reader(&self) -> &Caller {
        self.user.as_ref().map_or(&self.service, |(_, caller)| caller)
    }

    /// Calls with the gateway's own token, or in want of one with the viewer's: only for what everybody may see.
    pub fn service(&self) -> &Caller {
        &self.service
    }
}
