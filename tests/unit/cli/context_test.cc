// Claim: a context is read only when it is whole and private, and its errors never show a secret.
// Method: texts and files, each with one thing wrong; a new operator's way from keygen to a
// complete context.
#include "cli/context.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/unit/cli/run_cli.h"

namespace mesh::cli::test {
namespace {

namespace fs = std::filesystem;

class Context : public testing::Test {
 protected:
  Context() {
    std::string pattern = (fs::temp_directory_path() / "meshcli-context-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    const OperatorContext given = controller_.context();
    text_ = context_text(&given.connection, given.name, given.sign, given.box);
  }
  ~Context() override { fs::remove_all(folder_); }

  std::string file(const std::string& name, const std::string& text, mode_t mode = 0600) {
    const fs::path path = folder_ / name;
    std::ofstream(path) << text;
    ::chmod(path.c_str(), mode);
    return path.string();
  }
  static std::string read(const std::string& path) {
    std::ostringstream out;
    out << std::ifstream(path).rdbuf();
    return out.str();
  }

  FakeController controller_;
  fs::path folder_;
  std::string text_;
};

TEST_F(Context, IsReadBackAsWritten) {
  const auto context = load_context(file("context.toml", text_));
  ASSERT_TRUE(context.has_value()) << context.error().message;
  const OperatorContext given = controller_.context();
  EXPECT_EQ(context->name, "alice");
  EXPECT_EQ(context->connection.endpoints, given.connection.endpoints);
  EXPECT_EQ(context->connection.controller_key, given.connection.controller_key);
  EXPECT_EQ(context->connection.log, given.connection.log);
  EXPECT_EQ(context->connection.log_key, given.connection.log_key);
  EXPECT_EQ(context->sign.public_key(), given.sign.public_key());
  EXPECT_EQ(context->box.public_key(), given.box.public_key());
}

TEST_F(Context, MustBePrivate) {
  for (const mode_t mode : {0640, 0604, 0666}) {
    const auto context = load_context(file("context.toml", text_, mode));
    ASSERT_FALSE(context.has_value());
    EXPECT_EQ(context.error().code, Errc::not_permitted);
    EXPECT_EQ(context.error().fix, "chmod 600 " + (folder_ / "context.toml").string());
  }
}

TEST_F(Context, NamesWhatIsMissingOrMalformed) {
  for (const char* key : {"endpoints", "controller_key", "log_id", "log_key", "operator",
                          "sign_seed", "box_secret"}) {
    std::string text;
    std::istringstream lines(text_);
    for (std::string line; std::getline(lines, line);)
      if (!line.starts_with(key)) text += line + "\n";
    const auto missing = parse_context(text, "c");
    ASSERT_FALSE(missing.has_value()) << key;
    EXPECT_EQ(missing.error().code, Errc::invalid) << key;
    EXPECT_NE(missing.error().message.find(std::string(key) + " is missing"), std::string::npos)
        << missing.error().message;
    const auto malformed = parse_context(text + std::string(key) + " = \"!\"\n", "c");
    EXPECT_EQ(malformed.has_value(), std::string(key) == "operator") << key;
  }
}

TEST_F(Context, ErrorsShowNoSecret) {
  const std::string broken = "operator = \"a\"\nsign_seed = \"c2VjcmV0c2VjcmV0\nbox_secret = 1\n";
  const auto context = parse_context(broken, "c");
  ASSERT_FALSE(context.has_value());
  EXPECT_EQ(context.error().message.find("c2Vj"), std::string::npos) << context.error().message;
}

TEST_F(Context, IsLookedForInTheDocumentedOrder) {
  std::map<std::string, std::string, std::less<>> variables{{"MESHCLI_CONTEXT", "/from/variable"},
                                                            {"HOME", folder_.string()}};
  const Variable variable = [&](std::string_view name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  };
  EXPECT_EQ(*find_context("/from/option", variable), "/from/option");
  EXPECT_EQ(*find_context("", variable), "/from/variable");
  variables.erase("MESHCLI_CONTEXT");
  fs::create_directories(folder_ / ".config/meshlog");
  const std::string home = file(".config/meshlog/context.toml", text_);
  EXPECT_EQ(*find_context("", variable), home);
}

TEST_F(Context, ANewOperatorsDraftAndTheConnectionMakeAContext) {
  const std::string draft = (folder_ / "bob.toml").string();
  ASSERT_EQ(run_cli(controller_, "operator keygen bob --out " + draft).exit, 0);
  struct stat info {};
  ASSERT_EQ(::stat(draft.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(run_cli(controller_, "operator keygen bob --out " + draft).exit, 6)
      << "keys are never overwritten";
  EXPECT_EQ(load_context(draft).error().fix,
            "append what `meshcli controller connection` prints for an administrator");

  EXPECT_EQ(run_cli(controller_, "operator add bob --role operator --key " + draft).exit, 7)
      << "that is the secret half";
  EXPECT_EQ(run_cli(controller_, "operator add rob --role operator --key " + draft + ".pub").exit,
            64)
      << "another's keys";
  ASSERT_EQ(run_cli(controller_, "operator add bob --role operator --key " + draft + ".pub").exit,
            0);
  std::ofstream(draft, std::ios::app) << run_cli(controller_, "-q controller connection").out;
  const auto context = load_context(draft);
  ASSERT_TRUE(context.has_value()) << context.error().message;
  const Operator* bob = controller_.replica.state.find_operator("bob");
  ASSERT_NE(bob, nullptr);
  EXPECT_EQ(context->sign.public_key(), bob->sign_key);
  EXPECT_EQ(context->box.public_key(), bob->box_key);
}

TEST_F(Context, PublicKeyFiles) {
  const PublicKeys keys{"bob", sign_secret(5).public_key(), box_secret(6).public_key()};
  EXPECT_EQ(*parse_public_keys(public_keys_text(keys)), keys);
  for (const char* bad :
       {"", "meshlog-operator", "meshlog-operator bob x y", "ssh-ed25519 AAAA bob"})
    EXPECT_EQ(parse_public_keys(bad).error().code, Errc::invalid) << bad;
}

}  // namespace
}  // namespace mesh::cli::test
