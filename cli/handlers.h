// What each verb does. One function for each; the table in verbs.cc names them.
// All: Result<int> = the exit code; errors are printed by run().
#pragma once

#include "cli/session.h"

namespace mesh::cli {

// read_verbs.cc
Result<int> list_sites(Session& session);
Result<int> list_nodes(Session& session);
Result<int> list_changed(Session& session);
Result<int> list_changes(Session& session);
Result<int> list_links(Session& session);
Result<int> list_versions(Session& session);
Result<int> list_tokens(Session& session);
Result<int> list_operators(Session& session);
Result<int> list_tags(Session& session);
Result<int> list_activations(Session& session);
Result<int> show_level(Session& session);
Result<int> show_effective(Session& session);
Result<int> show_variables(Session& session);
Result<int> show_whoami(Session& session);
Result<int> controller_status(Session& session);
Result<int> controller_connection(Session& session);
Result<int> show_version(Session& session);

// change_verbs.cc
Result<int> add_site(Session& session);
Result<int> add_node(Session& session);
Result<int> delete_site(Session& session);
Result<int> delete_node(Session& session);
Result<int> add_tag(Session& session);
Result<int> delete_tag(Session& session);
Result<int> rename_site(Session& session);
Result<int> rename_node(Session& session);
Result<int> set_attribute(Session& session);
Result<int> discard(Session& session);

// commit_verbs.cc
Result<int> plan_commit(Session& session);
Result<int> commit(Session& session);
Result<int> activate(Session& session);

// activation_verbs.cc
Result<int> confirm_activation(Session& session);
Result<int> cancel_activation(Session& session);
Result<int> extend_activation(Session& session);

// diff_verbs.cc
Result<int> show_diff(Session& session);

// replay_verbs.cc
Result<int> replay_history(Session& session);

// intent_verbs.cc
Result<int> export_intent(Session& session);
Result<int> apply_intent(Session& session);
Result<int> roll_back_intent(Session& session);
Result<int> undo_entry(Session& session);
Result<int> controller_rules(Session& session);

// file_verbs.cc
Result<int> put_file(Session& session);
Result<int> get_file(Session& session);
Result<int> list_files(Session& session);
Result<int> edit_file(Session& session);
Result<int> delete_file(Session& session);

// folder_verbs.cc
Result<int> pull_files(Session& session);
Result<int> push_files(Session& session);

// ansible_verbs.cc
Result<int> show_inventory(Session& session);
Result<int> run_ansible_command(Session& session);
Result<int> run_ansible_playbook(Session& session);

// git_verbs.cc
Result<int> run_git(Session& session);

// import_verbs.cc
Result<int> import_from_towalink(Session& session);

// status_verbs.cc
Result<int> show_status(Session& session);
Result<int> wait_node(Session& session);
Result<int> doctor(Session& session);

// drift_verbs.cc
Result<int> show_drift(Session& session);

// log_verbs.cc
Result<int> show_log(Session& session);

// entry_verbs.cc
Result<int> show_entry(Session& session);

// simulate_verbs.cc
Result<int> simulate(Session& session);

// explain_verbs.cc
Result<int> show_blame(Session& session);
Result<int> bisect(Session& session);

// attach_verbs.cc
Result<int> attach_node(Session& session);

// recovery_verbs.cc
Result<int> node_recovery(Session& session);
Result<int> recover(Session& session);

// people_verbs.cc
Result<int> token_create(Session& session);
Result<int> token_revoke(Session& session);
Result<int> node_pending(Session& session);
Result<int> node_approve(Session& session);
Result<int> node_reject(Session& session);
Result<int> node_revoke(Session& session);
Result<int> operator_keygen(Session& session);
Result<int> operator_add(Session& session);
Result<int> operator_role(Session& session);
Result<int> operator_ban(Session& session);

// proof_verbs.cc
Result<int> verify(Session& session);
Result<int> prove(Session& session);
Result<int> prove_consistency(Session& session);
Result<int> list_orphans(Session& session);
Result<int> show_checkpoint(Session& session);
Result<int> sign_checkpoint(Session& session);

// storage_verbs.cc
Result<int> controller_backup(Session& session);
Result<int> controller_restore(Session& session);
Result<int> controller_start_epoch(Session& session);
Result<int> controller_optimise(Session& session);

// endpoint_verbs.cc
Result<int> controller_endpoints_verb(Session& session);

// help.cc, completion.cc
Result<int> show_help(Session& session);
Result<int> print_completion(Session& session);

}  // namespace mesh::cli
