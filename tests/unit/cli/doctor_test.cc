// Claim: doctor names what is wrong with the way to the controller, with the controller and with the routers, each with
// its fix, and ends with an exit code that says so. Method: a controller in memory, canned status documents.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/exit_code.h"
#include "tests/unit/cli/run_cli.h"

namespace mesh::cli::test {
namespace {

using nlohmann::json;

class DoctorTest : public testing::Test {
 protected:
  DoctorTest() {
    controller_.given({AddSite{"ams"}, AddNode{"r1.ams"}});
    controller_.documents["whoami"] = R"({"kind":"Whoami","name":"alice","role":"admin"})";
    controller_json_ = {{"kind", "Controller"}, {"sequence", 3}, {"log_bytes", 2048}, {"read_only", false},
                        {"problem", ""}, {"version", "1"}};
    node_ = {{"id", 11}, {"fullname", "r1.ams"}, {"state", "ok"}, {"lag", 0}, {"problem", ""}, {"links", 2},
             {"drift", 0}, {"path_mtu_low", json::array()}};
  }
  /// The item of `check`, with the exit code.
  json item(const std::string& check) {
    controller_.documents["controller"] = controller_json_.dump();
    controller_.documents["status"] = json{{"kind", "Status"}, {"items", json::array({node_})}}.dump();
    ran_ = run_cli(controller_, "-o json doctor");
    const json document = json::parse(ran_.out, nullptr, false);
    if (document.is_object())
      for (const json& each : document["items"])
        if (each["check"] == check) return each;
    return json::object();
  }

  FakeController controller_;
  json controller_json_, node_;
  Ran ran_;
};

TEST_F(DoctorTest, AllIsWell) {
  for (const char* check : {"context", "controller", "checkpoint", "keys", "log", "nodes"})
    EXPECT_EQ(item(check).value("state", "missing"), "ok") << check << "\n" << ran_.out << ran_.err;
  EXPECT_EQ(ran_.exit, kSuccess);
  EXPECT_EQ(item("drift"), json::object());
  EXPECT_EQ(item("mtu"), json::object());
}

TEST_F(DoctorTest, AnEditedRouterIsNamed) {
  node_["drift"] = 2;
  const json drift = item("drift");
  EXPECT_EQ(drift["state"], "warn");
  EXPECT_EQ(drift["detail"], "r1.ams is not as its version says: 2 edits");
  EXPECT_EQ(drift["fix"], "meshcli drift node r1.ams");
  EXPECT_EQ(ran_.exit, kSuccess) << "a warning";
  node_["drift"] = nullptr;
  EXPECT_EQ(item("drift"), json::object()) << "its program does not look";
}

TEST_F(DoctorTest, ANarrowPathIsNamedWithTheMtu) {
  node_["path_mtu_low"] = json::array({{{"peer", 12}, {"peer_name", "r2.lab"}, {"peer_links", 5}, {"mtu", 1420},
                                        {"path_mtu", 1360}}});
  const json mtu = item("mtu");
  EXPECT_EQ(mtu["state"], "warn");
  EXPECT_EQ(mtu["detail"], "the link r1.ams - r2.lab carries packets of up to 1360 bytes, its MTU is 1420");
  EXPECT_EQ(mtu["fix"], "meshcli set node r1.ams wg_mtu 1360, then commit and activate");
}

TEST_F(DoctorTest, ANodeThatIsNotWellIsNamed) {
  node_["state"] = "problem";
  node_["problem"] = "BIRD does not start";
  node_["lag"] = 1;
  EXPECT_EQ(item("node r1.ams")["detail"], "problem, 1 entry behind, BIRD does not start");
  EXPECT_EQ(item("nodes")["state"], "note");
}

TEST_F(DoctorTest, AControllerThatTakesNothingFails) {
  controller_json_["read_only"] = true;
  controller_json_["problem"] = "the disk is full";
  const json log = item("log");
  EXPECT_EQ(log["state"], "fail");
  EXPECT_EQ(log["detail"], "the controller is read-only: the disk is full");
  EXPECT_TRUE(log["fix"].get<std::string>().contains("free space"));
  EXPECT_EQ(ran_.exit, kUnreachable);
  controller_.unreachable = true;
  EXPECT_EQ(item("controller")["state"], "fail");
  EXPECT_EQ(ran_.exit, kUnreachable);
}

TEST(Usage, EveryMistakeHasItsFix) {
  FakeController controller;
  for (const char* line :
       {"activate all --unconfirmed --confirmed", "set global a '{x'", "set global a '{}'", "blame global a --file x",
        "diff - -", "list nodes --yes=1", "log --follow --reverse", "log --follow --at 1", "status --interval 0s",
        "status --watch --at 1", "token create --node r1.ams --approve --no-approve", "operator keygen bob",
        "verify --nodes --from x", "show entry x"}) {
    const Ran ran = run_cli(controller, line);
    EXPECT_EQ(ran.exit, kUsage) << line << "\n" << ran.err;
    EXPECT_NE(ran.err.find("\nfix: "), std::string::npos) << line << "\n" << ran.err;
  }
}

}  // namespace
}  // namespace mesh::cli::test
