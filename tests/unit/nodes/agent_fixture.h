// Three sites; node 11 is ours, 12 and 13 are enrolled; v1 is committed and active everywhere.
#pragma once

#include <gtest/gtest.h>

#include "written_log.h"

namespace mesh::test {

struct AgentTest : ::testing::Test {
  explicit AgentTest(uint32_t rules = kRulesNewest) : log(3, rules), node(log) {
    log.admit(NodeId(12), Signer(12), SecretKey::random().public_key());
    log.admit(NodeId(13), Signer(13), SecretKey::random().public_key());
    log.commit();
    log.activate();
    node.connect();
  }
  AgentStatus status() { return node.agent().status(); }
  size_t tunnels() { return node.router().state().tunnels.size(); }
  WrittenLog log;
  TestNode node;
};

}  // namespace mesh::test
