//! What every store promises: each promise is a function, run on SQLite and on PostgreSQL.
//!
//! PostgreSQL is the server whose URL stands in `VESTA_TEST_POSTGRES` (`tests/postgres start` makes one); each test gets a
//! schema of its own there. Without the variable that half is reported and does not run, except where `CI` is set: there it
//! fails.

mod absence;
mod kill;
mod place;
mod promises;
mod writes;

use place::Place;

/// Makes a test for each database out of each promise.
macro_rules! promises {
    ($($module:ident::$promise:ident,)*) => {
        mod sqlite {
            $(#[tokio::test] async fn $promise() {
                let place = super::Place::sqlite();
                super::$module::$promise(&place).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)] async fn $promise() {
                let Some(place) = super::Place::postgres(stringify!($promise)).await else { return };
                super::$module::$promise(&place).await;
                place.remove().await;
            })*
        }
    };
}

promises! {
    promises::an_account_is_made_once_and_has_its_verifiers,
    promises::unknown_accounts_have_nothing,
    promises::verifiers_are_replaced_as_a_whole,
    promises::many_reads_of_verifiers_at_once_each_get_their_own,
    promises::a_verifier_that_cannot_be_read_fails_its_own_account_alone,
    promises::a_removed_account_leaves_nothing_behind,
    promises::accounts_are_listed_by_host_in_the_order_of_their_jids,
    promises::a_roster_comes_back_as_it_was_put,
    promises::a_roster_version_never_falls,
    promises::offline_messages_come_in_order_and_their_ids_are_not_given_again,
    promises::offline_messages_are_read_in_pages,
    promises::values_of_modules_are_kept_by_account_and_key,
    promises::generations_only_grow,
    promises::a_secret_of_the_deployment_is_made_once,
    promises::everything_is_there_after_a_restart,
    promises::stores_may_be_opened_at_once,
    promises::the_durability_is_told,
    writes::changes_of_one_write_happen_together_or_not_at_all,
    writes::a_write_may_be_repeated,
    writes::an_older_leader_is_fenced_off,
    writes::terms_start_anew_in_each_generation,
    writes::a_fence_holds_for_its_shard_alone,
    writes::many_writes_at_once_all_happen_in_their_order,
    writes::a_refused_write_does_not_fail_its_neighbours,
    writes::a_fenced_write_does_not_fail_its_neighbours,
    writes::a_closed_store_writes_no_more,
}
