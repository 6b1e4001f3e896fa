// The histories whose entries and digests are kept beside this file.
#pragma once

#include "tests/support/world.h"

namespace mesh::test {

/// Everything that a log under rules 1 may hold.
World history_of_rules_1();
/// What came with rules 2: tags, what was removed comes back, rollback, undo, an epoch.
World history_of_rules_2();
/// What came with rules 3: activations that wait for a confirmation, endpoints, commits that lose reach.
World history_of_rules_3();
/// What came with rules 4: files, services, numbers that are chosen, management, recovery keys.
World history_of_rules_4();
/// Begins under rules 1 and raises them to 2, then to 3.
World history_of_two_raises();
/// The same, and then to 4.
World history_of_three_raises();
/// Begins under rules 1 and raises them to 2.
World history_of_a_raise();

}  // namespace mesh::test
