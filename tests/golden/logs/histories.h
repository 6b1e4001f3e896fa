// The histories whose entries and digests are kept beside this file.
#pragma once

#include "tests/support/world.h"

namespace mesh::test {

/// Everything that a log under rules 1 may hold.
World history_of_rules_1();
/// What came with rules 2: tags, what was removed comes back, rollback, undo, an epoch.
World history_of_rules_2();
/// Begins under rules 1 and raises them to 2.
World history_of_a_raise();

}  // namespace mesh::test
