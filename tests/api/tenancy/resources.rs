//! Tags by ARN: whoever's account, region or partition it names, a pool that is not the caller's does not exist.

use super::home::{Home, arn, rows};
use super::questions::OF_RESOURCES;
use super::{elsewhere, essence, ill_formed, no_pool};
use crate::client::{ABROAD, HOME};
use crate::federation::federation;

/// What is no pool's ARN, with the id of a pool in it.
const NO_ARNS: [fn(pool: &str) -> String; 4] = [
    ToString::to_string,
    |pool| arn(HOME, "", pool).replace("identitypool", "userpool"),
    |pool| arn(HOME, "", pool).replace("arn:aws:", "arn:other:"),
    |pool| arn(HOME, "", pool).replace("cognito-identity", "cognito-idp"),
];

#[tokio::test]
async fn a_foreign_resource_is_as_one_that_does_not_exist_and_nothing_is_touched() {
    let at = federation().await;
    let (own, foreign) = (Home::of(&at, 1).await, Home::of(&at, 2).await);
    let developer = &own.developer;
    let mut conn = at.broker.db.conn().await;
    let before = (rows(&mut conn, developer).await, rows(&mut conn, &foreign.developer).await);
    let (ours, theirs) = (developer.account.as_str(), foreign.developer.account.as_str());

    for (operation, question) in OF_RESOURCES {
        let absent = no_pool();
        let expected = developer.call(operation, question(&arn(HOME, ours, &absent))).await;
        expected.no_pool(&absent);
        let ill_formed = ill_formed(&own.pool);
        let (own_abroad, foreign_abroad) = (elsewhere(&own.pool), elsewhere(&foreign.pool));
        for (given, id) in [
            (foreign.arn(), &foreign.pool),
            (arn(HOME, ours, &foreign.pool), &foreign.pool),
            (arn(HOME, "", &foreign.pool), &foreign.pool),
            (arn(HOME, "000000000009", &foreign.pool), &foreign.pool),
            (arn(HOME, "no account", &foreign.pool), &foreign.pool),
            (arn(HOME, theirs, &own.pool), &own.pool),
            (arn(HOME, "000000000009", &own.pool), &own.pool),
            (arn(HOME, theirs, &absent), &absent),
            (arn(ABROAD, ours, &own.pool), &own.pool),
            (arn(ABROAD, theirs, &foreign.pool), &foreign.pool),
            (arn(ABROAD, "", &own_abroad), &own_abroad),
            (arn(HOME, ours, &own_abroad), &own_abroad),
            (arn(HOME, theirs, &foreign_abroad), &foreign_abroad),
            (arn("no region", ours, &own.pool), &own.pool),
            (own.arn().replace("arn:aws:", "arn:aws-cn:"), &own.pool),
            (own.arn().replace("arn:aws:", "arn:aws-us-gov:"), &own.pool),
            (foreign.arn().replace("arn:aws:", "arn:aws-cn:"), &foreign.pool),
            (arn(HOME, ours, &ill_formed), &ill_formed),
        ] {
            let answer = developer.call(operation, question(&given)).await;
            assert_eq!(essence(&answer, id), essence(&expected, &absent), "{operation} {given}");
        }
        let abroad = developer.in_region(ABROAD);
        for given in [own.arn(), arn(ABROAD, ours, &own.pool), arn(ABROAD, "", &own.pool)] {
            let answer = abroad.call(operation, question(&given)).await;
            assert_eq!(essence(&answer, &own.pool), essence(&expected, &absent), "{operation} {given} from abroad");
        }

        // What is no pool's ARN is refused alike, whoever's id is in it.
        for form in NO_ARNS {
            let expected = developer.call(operation, question(&form(&absent))).await;
            assert_eq!((expected.status.as_u16(), expected.exception()), (400, "AccessDeniedException"));
            for id in [&foreign.pool, &own.pool] {
                let answer = developer.call(operation, question(&form(id))).await;
                assert_eq!(essence(&answer, id), essence(&expected, &absent), "{operation} {}", form(id));
            }
        }
        for given in ["", "nineteen characters"] {
            let answer = developer.call(operation, question(given)).await;
            assert_eq!((answer.status.as_u16(), answer.exception()), (400, "ValidationException"), "{given}");
        }
    }
    assert_eq!((rows(&mut conn, developer).await, rows(&mut conn, &foreign.developer).await), before);
    // The same question about one's own pool does change it.
    for (operation, question) in OF_RESOURCES {
        developer.call(operation, question(&own.arn())).await.ok();
    }
    assert_ne!(rows(&mut conn, developer).await, before.0);
    assert_eq!(rows(&mut conn, &foreign.developer).await, before.1);
}
