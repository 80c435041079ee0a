//! The step worker: asks the provider, outside any transaction, and records what came of it. One step per payment at a
//! time and in order; a crash between asking and recording only means that the same reference is asked again.

use std::sync::Arc;
use std::time::Duration;

use common::error::chain;
use common::failpoint;
use common::money::Money;
use common::runtime::Shutdown;
use common::telemetry;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tracing::Instrument;

use super::alarm;
use super::ports::{
    Answer, Authorisation, Charge, Claim, PaymentStore, Provider, ProviderError, RefundStatus, StoreError,
};
use crate::domain::{Outcome, Patience, Step, StepState, Work};

/// Steps asked at once; each belongs to another payment.
const PARALLEL_MAX: usize = 32;
/// How often the store is asked without being woken: other processes queue steps too, and postponed ones become due.
const POLL: Duration = Duration::from_millis(250);
/// How long steps under way may take after the stop signal. Cutting them is safe: the reference is asked again.
const DRAIN: Duration = Duration::from_secs(2);
/// Code of an authorisation that was given up because its outcome stayed unknown.
const GIVEN_UP: &str = "GIVEN_UP";
/// Who stands in the history.
const ACTOR: &str = "payment-steps";

/// How the provider is asked.
#[derive(Debug, Clone, Copy)]
pub struct StepSettings {
    /// Longest wait for one answer.
    pub provider_timeout: Duration,
    /// When to ask again, and when to give a refusal to a person.
    pub patience: Patience,
    /// After how long an authorisation whose outcome stays unknown is given up.
    pub give_up: Duration,
}

impl StepSettings {
    /// One claim covers asking for the status, sending or giving up, and recording.
    fn lapse(&self) -> Duration {
        self.provider_timeout * 2 + Duration::from_secs(5)
    }
}

/// Works off provider steps.
pub struct StepWorker {
    store: Arc<dyn PaymentStore>,
    provider: Arc<dyn Provider>,
    wake: Arc<Notify>,
    settings: StepSettings,
}

impl StepWorker {
    /// A worker that also looks for steps whenever `wake` is notified.
    pub fn new(
        store: Arc<dyn PaymentStore>,
        provider: Arc<dyn Provider>,
        wake: Arc<Notify>,
        settings: StepSettings,
    ) -> Arc<Self> {
        Arc::new(Self { store, provider, wake, settings })
    }

    /// Works until shutdown.
    ///
    /// # Errors
    /// The claims of an earlier life of this process cannot be given up at the start.
    pub async fn run(self: Arc<Self>, shutdown: Shutdown) -> anyhow::Result<()> {
        self.store.release_claims().await?;
        let mut running = JoinSet::new();
        while !shutdown.is_cancelled() {
            self.start_due(&mut running).await;
            tokio::select! {
                () = shutdown.cancelled() => {}
                Some(ended) = running.join_next() => log_panic(ended),
                () = self.wake.notified() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
        let drained = tokio::time::timeout(DRAIN, async { while running.join_next().await.is_some() {} });
        if drained.await.is_err() {
            running.shutdown().await;
        }
        self.store.release_claims().await?;
        Ok(())
    }

    async fn start_due(self: &Arc<Self>, running: &mut JoinSet<()>) {
        let free = PARALLEL_MAX.saturating_sub(running.len());
        if free == 0 {
            return;
        }
        match self.store.claim(free, self.settings.lapse()).await {
            Ok(claims) => {
                for claim in claims {
                    running.spawn(self.clone().work(claim));
                }
            }
            Err(error) => tracing::warn!(error = %chain(&error), "provider steps cannot be claimed"),
        }
    }

    /// Asks the provider about a claimed step and records the outcome.
    pub async fn work(self: Arc<Self>, claim: Claim) {
        let span = tracing::info_span!(
            "payment.step",
            payment.id = %claim.payment_id,
            step.kind = claim.step.kind().word(),
            step.attempt = claim.step.attempt,
            step.tries = claim.step.tries,
        );
        telemetry::set_parent(&span, &claim.carrier);
        async {
            let outcome = self.ask(&claim).await;
            if let Err(error) = self.record(&claim, outcome).await {
                let payment = claim.payment_id;
                // The claim lapses, and the same reference is asked again.
                tracing::warn!(payment.id = %payment, error = %chain(&error), "payment {payment}: an outcome was not recorded");
            }
        }
        .instrument(span)
        .await;
    }

    /// Asks once, within bounds: for the status first when an earlier call went unanswered.
    async fn ask(&self, claim: &Claim) -> Outcome {
        let seen = match claim.step.state {
            StepState::Unknown => self.look(claim).await,
            StepState::Pending | StepState::Done | StepState::Failed | StepState::Stuck => None,
        };
        match seen {
            Some(known @ (Outcome::Done | Outcome::Refused { .. })) => known,
            Some(Outcome::Unknown { .. } | Outcome::Mismatch { .. }) | None if self.is_hopeless(claim) => {
                self.give_up(claim).await
            }
            Some(unknown) => unknown,
            None => self.send(claim).await,
        }
    }

    /// What the status says; `None` when the step must be sent again, also when the reference was not found: that is no
    /// failure.
    async fn look(&self, claim: &Claim) -> Option<Outcome> {
        match self.bounded(self.provider.status(&claim.reference())).await {
            Ok(charge) => read_status(&claim.step, &charge?),
            Err(error) => Some(unanswered(error)),
        }
    }

    /// Booking would let the money go by now, whatever the outcome.
    fn is_hopeless(&self, claim: &Claim) -> bool {
        let too_long = claim.unknown_for.is_some_and(|age| age > self.settings.give_up);
        too_long && matches!(claim.step.work, Work::Authorise { .. })
    }

    /// Voids the reference, which the provider remembers even if it never saw it: then the attempt is declined for good.
    async fn give_up(&self, claim: &Claim) -> Outcome {
        match self.bounded(self.provider.void(&claim.reference())).await {
            Ok(Answer::Done) => {
                alarm::given_up(claim.payment_id, claim.step.attempt);
                Outcome::Refused { code: GIVEN_UP.to_owned() }
            }
            Ok(Answer::Refused { code }) => Outcome::Unknown { reason: format!("it cannot be given up: {code}") },
            Ok(Answer::Pending) => undecided(),
            Err(error) => unanswered(error),
        }
    }

    async fn send(&self, claim: &Claim) -> Outcome {
        let asked = failpoint::Step::AskProvider;
        match failpoint::around(asked, [claim.step.kind().word()], self.bounded(self.call(claim))).await {
            Ok(Answer::Done) => Outcome::Done,
            Ok(Answer::Refused { code }) => Outcome::Refused { code },
            Ok(Answer::Pending) => undecided(),
            Err(error) => unanswered(error),
        }
    }

    async fn call(&self, claim: &Claim) -> Result<Answer, ProviderError> {
        let (reference, amount) = (claim.reference(), claim.step.amount);
        match &claim.step.work {
            Work::Authorise { token } => self.provider.authorise(&reference, amount, token).await,
            Work::Capture => self.provider.capture(&reference, amount).await,
            Work::Void { .. } => self.provider.void(&reference).await,
            Work::Refund { refund } => self.provider.refund(&reference, *refund, amount).await,
        }
    }

    async fn bounded<T>(&self, call: impl Future<Output = Result<T, ProviderError>>) -> Result<T, ProviderError> {
        let limit = self.settings.provider_timeout;
        tokio::time::timeout(limit, call).await.unwrap_or(Err(ProviderError::Timeout(limit)))
    }

    /// Records an outcome in one transaction, unless the claim was lost meanwhile: whoever has it now asks the same reference.
    async fn record(&self, claim: &Claim, outcome: Outcome) -> Result<(), StoreError> {
        let id = claim.payment_id;
        let transaction = self.store.begin().await?;
        let Some(payment) = self.store.lock(&transaction, id).await? else {
            return Err(StoreError::Stale(id));
        };
        let mine = |ordinal, epoch| ordinal == claim.step.ordinal && epoch == claim.step.claim_epoch;
        if !payment.steps.iter().any(|s| mine(s.ordinal, s.claim_epoch)) {
            return Err(StoreError::Stale(id));
        }
        let now = self.store.now(&transaction).await?;
        if let Outcome::Unknown { reason } = &outcome {
            let kind = claim.step.kind().word();
            tracing::warn!(payment.id = %id, reason, "payment {id}: outcome of its {kind} is not known yet");
        }
        let decision = payment.answer(claim.step.ordinal, outcome, &self.settings.patience, now);
        self.store.write(&transaction, &decision, ACTOR).await?;
        failpoint::around(failpoint::Step::RecordOutcome, [claim.step.kind().word()], transaction.commit()).await?;

        self.store.committed();
        alarm::raise(id, &decision.alarms);
        Ok(())
    }
}

/// What a status says about a step; `None` when it was not done and must be sent again.
fn read_status(step: &Step, charge: &Charge) -> Option<Outcome> {
    let done = |amount: Money| if amount == step.amount { Outcome::Done } else { Outcome::Mismatch { said: amount } };
    match &step.work {
        Work::Authorise { .. } => Some(match &charge.authorisation {
            Authorisation::Pending => undecided(),
            // Given up before, by a process that did not live to record it.
            Authorisation::Approved { .. } if charge.voided => Outcome::Refused { code: GIVEN_UP.to_owned() },
            Authorisation::Approved { amount } => done(*amount),
            Authorisation::Declined { code } => Outcome::Refused { code: code.clone() },
        }),
        Work::Capture => charge.captured.map(done),
        Work::Void { .. } => charge.voided.then_some(Outcome::Done),
        Work::Refund { refund } => charge.refunds.iter().find(|(id, _)| id == refund).map(|(_, status)| match status {
            RefundStatus::Pending => undecided(),
            RefundStatus::Done { amount } => done(*amount),
            RefundStatus::Failed { code } => Outcome::Refused { code: code.clone() },
        }),
    }
}

fn undecided() -> Outcome {
    Outcome::Unknown { reason: "the provider is still deciding".to_owned() }
}

fn unanswered(error: ProviderError) -> Outcome {
    match error {
        ProviderError::Mismatch { said } => Outcome::Mismatch { said },
        ProviderError::Timeout(_) | ProviderError::Unreachable(_) => Outcome::Unknown { reason: error.to_string() },
    }
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a provider step panicked; its claim lapses and it is asked again");
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use common::ids::{RefundId, StepId};
    use common::money::Currency;

    use super::*;

    fn eur(amount_minor: i64) -> Money {
        Money::new(amount_minor, Currency::parse("EUR").unwrap()).unwrap()
    }

    fn step(work: Work) -> Step {
        Step {
            id: StepId::new(),
            ordinal: 1,
            work,
            attempt: 1,
            amount: eur(2500),
            state: StepState::Unknown,
            tries: 1,
            refusals: 0,
            next_try_at: DateTime::UNIX_EPOCH,
            claim_epoch: 1,
            outcome: None,
        }
    }

    fn authorise() -> Step {
        step(Work::Authorise { token: "tok".into() })
    }

    fn approved() -> Charge {
        charge(Authorisation::Approved { amount: eur(2500) })
    }

    fn charge(authorisation: Authorisation) -> Charge {
        Charge { authorisation, captured: None, voided: false, refunds: Vec::new() }
    }

    #[test]
    fn an_undecided_authorisation_stays_unknown() {
        let read = read_status(&authorise(), &charge(Authorisation::Pending));

        assert!(matches!(read, Some(Outcome::Unknown { .. })));
    }

    #[test]
    fn an_authorisation_that_was_given_up_is_refused() {
        let voided = Charge { voided: true, ..approved() };

        let read = read_status(&authorise(), &voided);

        assert_eq!(read, Some(Outcome::Refused { code: "GIVEN_UP".into() }));
    }

    #[test]
    fn what_the_status_does_not_show_is_sent_again() {
        let refund = RefundId::new();

        for work in [Work::Capture, Work::Void { stray: false }, Work::Refund { refund }] {
            assert_eq!(read_status(&step(work.clone()), &approved()), None, "{work:?}");
        }
        let refunds = vec![(refund, RefundStatus::Done { amount: eur(2500) })];
        let refunded = Charge { captured: Some(eur(2500)), refunds, ..approved() };
        assert_eq!(read_status(&step(Work::Refund { refund }), &refunded), Some(Outcome::Done));
        assert_eq!(read_status(&step(Work::Refund { refund: RefundId::new() }), &refunded), None);
    }

    #[test]
    fn another_amount_is_never_believed() {
        let (refund, said) = (RefundId::new(), eur(2400));
        let refunds = vec![(refund, RefundStatus::Done { amount: said })];
        let other = Charge { captured: Some(said), refunds, ..charge(Authorisation::Approved { amount: said }) };

        for work in [authorise().work, Work::Capture, Work::Refund { refund }] {
            assert_eq!(read_status(&step(work.clone()), &other), Some(Outcome::Mismatch { said }), "{work:?}");
        }
    }

    #[test]
    fn a_refund_taken_in_stays_unknown_until_it_failed() {
        let refund = RefundId::new();
        let with = |status| Charge { refunds: vec![(refund, status)], ..approved() };
        let failed = RefundStatus::Failed { code: "REFUND_FAILED".into() };

        let pending = read_status(&step(Work::Refund { refund }), &with(RefundStatus::Pending));
        let refused = read_status(&step(Work::Refund { refund }), &with(failed));

        assert!(matches!(pending, Some(Outcome::Unknown { .. })));
        assert_eq!(refused, Some(Outcome::Refused { code: "REFUND_FAILED".into() }));
    }
}
