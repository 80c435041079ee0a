//! Payloads of mutations: the object, or why there is none.

use async_graphql::Context;
use common::requests::is_request_id;

use crate::error::{Failure, Fault, UserError, nullable};

/// Answer of one mutation.
pub trait Payload {
    /// What it shows when it was done.
    type Object;

    /// The object, or refusals without one.
    fn new(object: Option<Self::Object>, user_errors: Vec<UserError>) -> Self;
}

/// Makes the answer: refusals become `userErrors`, faults go to the top level and leave the payload null.
pub fn answer<P: Payload>(ctx: &Context<'_>, outcome: Result<P::Object, Failure>) -> Option<P> {
    match outcome {
        Ok(object) => Some(P::new(Some(object), Vec::new())),
        Err(Failure::Refused(refusal)) => Some(P::new(None, vec![refusal])),
        Err(Failure::Broken(fault)) => nullable::<P>(ctx, Err(fault)),
    }
}

/// The message a service promised never to leave out.
///
/// # Errors
/// INTERNAL when it did.
pub fn present<T>(message: Option<T>) -> Result<T, Fault> {
    message.ok_or_else(|| Fault::internal("a service left out what it promised"))
}

/// Checks an idempotency key, which becomes the request id of the mesh.
///
/// # Errors
/// INVALID_INPUT unless it has 1 to 255 printable characters.
pub fn request_id(key: String) -> Result<String, UserError> {
    if is_request_id(&key) {
        return Ok(key);
    }
    Err(UserError::invalid(&["idempotencyKey"], "an idempotency key has 1 to 255 printable characters"))
}

/// The same where the key may be absent: empty then.
///
/// # Errors
/// As [`request_id`].
pub fn optional_request_id(key: Option<String>) -> Result<String, UserError> {
    Ok(key.map(request_id).transpose()?.unwrap_or_default())
}

/// Reads a count that GraphQL can only call `Int`.
///
/// # Errors
/// INVALID_INPUT when it is below zero.
pub fn unsigned(value: i32, field: &[&str]) -> Result<u32, UserError> {
    u32::try_from(value).map_err(|_| UserError::invalid(field, format!("{value} is below zero")))
}

/// Declares the payload of a mutation.
macro_rules! payload {
    ($(#[$doc:meta])* $name:ident { $(#[$field_doc:meta])* $field:ident: $object:ty }) => {
        $(#[$doc])*
        #[derive(async_graphql::SimpleObject)]
        pub struct $name {
            $(#[$field_doc])*
            pub $field: Option<$object>,
            /// Why it was refused; empty when it was done.
            pub user_errors: Vec<crate::error::UserError>,
        }

        impl crate::graphql::payload::Payload for $name {
            type Object = $object;

            fn new($field: Option<$object>, user_errors: Vec<crate::error::UserError>) -> Self {
                Self { $field, user_errors }
            }
        }
    };
}

pub(crate) use payload;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idempotency_keys_have_1_to_255_printable_characters() {
        for (key, good) in
            [("k".to_owned(), true), ("ключ 7".into(), true), ("x".repeat(255), true), (String::new(), false)]
        {
            assert_eq!(request_id(key.clone()).is_ok(), good, "{key:?}");
        }
        for key in ["x".repeat(256), "a\nb".into(), "\u{7f}".into()] {
            let refusal = request_id(key).unwrap_err();
            assert_eq!(refusal.field, Some(vec!["idempotencyKey".to_owned()]));
        }
    }
}
