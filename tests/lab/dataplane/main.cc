#include <gtest/gtest.h>

#include "tests/lab/dataplane/namespaces.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  return mesh::test::run_contained([] { return RUN_ALL_TESTS(); });
}
