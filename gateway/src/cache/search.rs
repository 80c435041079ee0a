//! A page of a search, as it is kept, and what it is kept under.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use common::proto::catalog::v1 as pb;
use prost::Message;
use ring::digest::{SHA256, digest};

use super::level::Cached;

/// A page of published events.
#[derive(Clone, Default)]
pub struct SearchPage {
    /// By start, then id.
    pub events: Vec<Arc<pb::Event>>,
    /// Page token that continues after each event.
    pub tokens: Vec<String>,
    /// Whether more follow.
    pub has_more: bool,
}

impl SearchPage {
    /// Reads catalog's answer; `None` when its tokens do not match its events.
    pub fn of(answer: pb::SearchEventsResponse) -> Option<Self> {
        let pb::SearchEventsResponse { events, tokens, has_more } = answer;
        let fits = events.len() == tokens.len();
        fits.then(|| Self { events: events.into_iter().map(Arc::new).collect(), tokens, has_more })
    }
}

/// The name of a search: short, however long its text is.
pub fn name(request: &pb::SearchEventsRequest) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, &request.encode_to_vec()))
}

impl Cached for Arc<SearchPage> {
    fn encode(&self) -> Bytes {
        let events = self.events.iter().map(|event| pb::Event::clone(event)).collect();
        pb::SearchEventsResponse { events, tokens: self.tokens.clone(), has_more: self.has_more }.encode_to_vec().into()
    }

    fn decode(bytes: Bytes) -> Option<Self> {
        SearchPage::of(pb::SearchEventsResponse::decode(bytes).ok()?).map(Arc::new)
    }

    fn weight(&self) -> usize {
        self.events.iter().map(Cached::weight).sum::<usize>() + self.tokens.iter().map(String::len).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_survives_its_stored_form() {
        let event = |id: &str| pb::Event { id: id.into(), ..Default::default() };
        let answer = pb::SearchEventsResponse {
            events: vec![event("a"), event("b")],
            tokens: vec!["1".into(), "2".into()],
            has_more: true,
        };
        let page = Arc::new(SearchPage::of(answer).unwrap());

        let read = Arc::<SearchPage>::decode(page.encode()).unwrap();

        assert_eq!((&read.events, &read.tokens, read.has_more), (&page.events, &page.tokens, page.has_more));
    }

    #[test]
    fn searches_that_differ_have_names_of_their_own() {
        let base = pb::SearchEventsRequest { text: "a".into(), page_size: 20, ..Default::default() };
        let others = [
            pb::SearchEventsRequest { page_size: 21, ..base.clone() },
            pb::SearchEventsRequest { text: String::new(), category: "a".into(), ..base.clone() },
            pb::SearchEventsRequest { min_price: Some(0), ..base.clone() },
            pb::SearchEventsRequest { page_token: "t".into(), ..base.clone() },
        ];

        assert_eq!(name(&base), name(&base.clone()));
        assert!(others.iter().all(|other| name(other) != name(&base)));
    }
}
