//! A provider that says what a test tells it to, and remembers every call.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use common::ids::RefundId;
use common::money::Money;
use payment::application::ports::{Answer, Authorisation, Charge, Provider, ProviderError, RefundStatus};
use payment::domain::Reference;

use crate::support::price;

/// What to answer to one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Done.
    Yes,
    /// Refused with a code.
    No(&'static str),
    /// Never answers.
    Hang,
    /// The connection breaks.
    Break,
    /// To a status: never seen.
    NotFound,
    /// To a status: still deciding.
    Pending,
    /// To a status: approved.
    Approved,
    /// To a status: approved, for this amount.
    ApprovedFor(Money),
    /// To a status: captured, with these refunds, each in full.
    Captured(Vec<RefundId>),
    /// To a status: declined.
    Declined(&'static str),
}

/// The provider. Without a script it says yes.
pub struct Scripted {
    replies: Mutex<VecDeque<Reply>>,
    calls: Mutex<Vec<String>>,
}

impl Scripted {
    /// Answers in this order, whatever is asked.
    pub fn new(replies: impl IntoIterator<Item = Reply>) -> Arc<Self> {
        Arc::new(Self { replies: Mutex::new(replies.into_iter().collect()), calls: Mutex::default() })
    }

    /// What was called: `authorise <reference>` and so on.
    pub fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    async fn reply(&self, call: &str, reference: &Reference) -> Result<Reply, ProviderError> {
        self.calls.lock().unwrap().push(format!("{call} {reference}"));
        let reply = self.replies.lock().unwrap().pop_front().unwrap_or(Reply::Yes);
        match reply {
            Reply::Hang => std::future::pending().await,
            Reply::Break => Err(ProviderError::Unreachable("connection reset".to_owned())),
            Reply::Yes
            | Reply::No(_)
            | Reply::NotFound
            | Reply::Pending
            | Reply::Approved
            | Reply::ApprovedFor(_)
            | Reply::Captured(_)
            | Reply::Declined(_) => Ok(reply),
        }
    }

    async fn answer(&self, call: &str, reference: &Reference) -> Result<Answer, ProviderError> {
        match self.reply(call, reference).await? {
            Reply::Yes => Ok(Answer::Done),
            Reply::No(code) => Ok(Answer::Refused { code: code.to_owned() }),
            other @ (Reply::Hang
            | Reply::Break
            | Reply::NotFound
            | Reply::Pending
            | Reply::Approved
            | Reply::ApprovedFor(_)
            | Reply::Captured(_)
            | Reply::Declined(_)) => panic!("{other:?} does not answer {call}"),
        }
    }
}

#[async_trait]
impl Provider for Scripted {
    async fn authorise(&self, reference: &Reference, _: Money, _: &str) -> Result<Answer, ProviderError> {
        self.answer("authorise", reference).await
    }

    async fn capture(&self, reference: &Reference, _: Money) -> Result<Answer, ProviderError> {
        self.answer("capture", reference).await
    }

    async fn void(&self, reference: &Reference) -> Result<Answer, ProviderError> {
        self.answer("void", reference).await
    }

    async fn refund(&self, reference: &Reference, _: RefundId, _: Money) -> Result<Answer, ProviderError> {
        self.answer("refund", reference).await
    }

    async fn status(&self, reference: &Reference) -> Result<Option<Charge>, ProviderError> {
        let charge = |authorisation| Charge { authorisation, captured: None, voided: false, refunds: Vec::new() };
        Ok(match self.reply("status", reference).await? {
            Reply::NotFound => None,
            Reply::Pending => Some(charge(Authorisation::Pending)),
            Reply::Approved => Some(charge(Authorisation::Approved { amount: price() })),
            Reply::ApprovedFor(amount) => Some(charge(Authorisation::Approved { amount })),
            Reply::Captured(refunds) => {
                let done = RefundStatus::Done { amount: price() };
                let refunds = refunds.into_iter().map(|refund| (refund, done.clone())).collect();
                Some(Charge { captured: Some(price()), refunds, ..charge(Authorisation::Approved { amount: price() }) })
            }
            Reply::Declined(code) => Some(charge(Authorisation::Declined { code: code.to_owned() })),
            other @ (Reply::Yes | Reply::No(_) | Reply::Hang | Reply::Break) => panic!("{other:?} is no status"),
        })
    }
}
