// Claim: 1,000 enrolled nodes that are subscribed to one meshd all reach the head after a change,
// each entry once and in order with a checkpoint that the log's key signed, and the log verifies
// afterwards. Method: the load program enrols them with a token, connects each with its own CURVE
// key to the real meshd, submits changes and counts; this test reads what it printed. No time is
// looked at.
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

namespace mesh {
namespace {

TEST(Fanout, ThousandSubscribersReachTheHead) {
  std::string command = MESH_BIN_DIR "/meshbench fanout --subscribers 1000 --repetitions 1";
  FILE* output = popen(command.c_str(), "r");
  ASSERT_NE(output, nullptr);
  std::string text;
  std::array<char, 4096> buffer;
  for (size_t got; (got = fread(buffer.data(), 1, buffer.size(), output)) > 0;)
    text.append(buffer.data(), got);
  ASSERT_EQ(pclose(output), 0) << text;
  nlohmann::json document = nlohmann::json::parse(text);
  EXPECT_EQ(document["facts"]["fanout.subscribers"], 1'000);
  EXPECT_EQ(document["facts"]["fanout.at_the_head"], 1'000);
  EXPECT_GT(document["facts"]["fanout.meshd_resident_bytes"], 0);
  for (const char* check : {"fanout.all_reached_the_head", "fanout.log_verified_afterwards"})
    EXPECT_EQ(document["checks"][check], true) << check;
  std::printf("1,000 subscribers: meshd has %.0f MB\n",
              document["facts"]["fanout.meshd_resident_bytes"].get<double>() / 1e6);
}

}  // namespace
}  // namespace mesh
