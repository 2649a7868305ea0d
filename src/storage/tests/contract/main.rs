//! What every store promises: each promise is a function, run on SQLite and on PostgreSQL.
//!
//! PostgreSQL is the server whose URL stands in `VESTA_TEST_POSTGRES` (`tests/postgres start` makes one); each test gets a
//! schema of its own there. Without the variable that half is reported and does not run, except where `CI` is set: there it
//! fails.

mod absence;
mod kill;
mod log;
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
    promises::values_of_modules_are_kept_by_account_and_key,
    promises::generations_only_grow,
    promises::a_secret_of_the_deployment_is_made_once,
    promises::everything_is_there_after_a_restart,
    promises::stores_may_be_opened_at_once,
    promises::the_durability_is_told,
    log::an_entry_comes_back_as_it_was_appended,
    log::a_new_leader_learns_the_last_id_what_waits_and_the_newest_marks,
    log::nothing_of_an_older_leader_comes_after_the_state_was_read,
    log::what_waits_waits_until_it_is_settled,
    log::an_id_that_was_given_is_remembered_when_its_entry_is_forgotten,
    log::changes_of_a_log_happen_in_their_order,
    log::an_entry_that_is_appended_again_stays_as_it_is,
    log::an_account_that_is_not_there_has_no_log,
    log::a_log_is_read_by_all_conditions_at_once,
    log::a_removed_account_leaves_a_log_that_nobody_reads_and_pruning_takes,
    log::what_is_too_old_goes_in_small_steps_unless_it_waits,
    log::offline_messages_of_before_wait_in_the_log,
    log::an_account_without_a_log_gets_one_when_its_state_is_read,
    writes::changes_of_one_write_happen_together_or_not_at_all,
    writes::a_write_may_be_repeated,
    writes::an_older_leader_is_fenced_off,
    writes::terms_start_anew_in_each_generation,
    writes::a_fence_holds_for_its_shard_alone,
    writes::many_writes_at_once_all_happen_in_their_order,
    writes::a_refused_write_does_not_fail_its_neighbours,
    writes::a_fenced_write_does_not_fail_its_neighbours,
    writes::a_closed_store_writes_no_more,
    writes::submitted_writes_are_done_in_their_order_and_tell_so_in_it,
    writes::a_store_that_closes_tells_everyone_who_waits,
}
