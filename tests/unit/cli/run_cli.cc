#include "tests/unit/cli/run_cli.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace mesh::cli::test {

namespace {

/// The administrator's context as a file of mode 0600, removed at the end.
class ContextFile {
 public:
  explicit ContextFile(const FakeController& controller) {
    std::string pattern = (std::filesystem::temp_directory_path() / "meshcli-XXXXXX").string();
    const int descriptor = ::mkstemp(pattern.data());
    MESH_ASSERT(descriptor >= 0);
    ::close(descriptor);
    path_ = pattern;
    const OperatorContext context = controller.context();
    std::ofstream(path_) << context_text(&context.connection, context.name, context.sign,
                                         context.box);
  }
  ~ContextFile() { std::filesystem::remove(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace

std::vector<std::string> words_of(const std::string& line) {
  std::vector<std::string> out;
  std::string word;
  bool inside = false;
  char quote = 0;
  for (const char c : line) {
    if (quote ? c == quote : c == '\'' || c == '"') {
      quote = quote ? 0 : c;
      inside = true;
    } else if (c == ' ' && !quote) {
      if (inside) out.push_back(word);
      word.clear();
      inside = false;
    } else {
      word += c;
      inside = true;
    }
  }
  if (inside) out.push_back(word);
  return out;
}

Ran run_cli(FakeController& controller, const std::string& line, const Setting& setting) {
  const ContextFile context(controller);
  std::istringstream in(setting.typed);
  std::ostringstream out, err;
  int64_t now_ms = 0;
  int sleeps = 0;
  Environment environment;
  environment.program = setting.program;
  environment.in = &in;
  environment.out = &out;
  environment.err = &err;
  environment.in_terminal = environment.out_terminal = environment.err_terminal = setting.terminal;
  environment.variable = [&](std::string_view name) -> std::optional<std::string> {
    if (const auto set = setting.variables.find(std::string(name)); set != setting.variables.end()) return set->second;
    return name == "MESHCLI_CONTEXT" ? std::optional(context.path()) : std::nullopt;
  };
  environment.now = [&] { return Timestamp(controller.time.value() + now_ms * 1000); };
  environment.monotonic_ms = [&] { return now_ms; };
  environment.sleep = [&](int ms) {
    now_ms += ms;
    ++sleeps;
    if (setting.while_sleeping) setting.while_sleeping(now_ms);
  };
  environment.interrupted = [&] {
    return setting.interrupt_after_sleeps >= 0 && sleeps >= setting.interrupt_after_sleeps;
  };
  environment.catch_interrupts = [] {};
  environment.random = [&](std::span<uint8_t> bytes) {
    const uint32_t call = ++controller.random_calls;
    for (size_t i = 0; i < bytes.size(); ++i)
      bytes[i] = i < sizeof call ? static_cast<uint8_t>(call >> (8 * i)) : 0xAB;
  };
  environment.connect = [&](const OperatorContext&, Trace) -> Result<std::unique_ptr<Transport>> {
    return std::make_unique<FakeTransport>(controller);
  };
  environment.run_beside = [](const std::string&,
                              const std::vector<std::string>&) -> Result<Environment::Finished> {
    return fail(Errc::not_found, "no program stands beside a test");
  };
  environment.run_program = [&](const Environment::Program& program) -> Result<Environment::Finished> {
    if (setting.run_program) return setting.run_program(program);
    return fail(Errc::not_found, program.words.at(0) + " is not installed");
  };
  const int exit = run(environment, words_of(line));
  return Ran{exit, out.str(), err.str()};
}

}  // namespace mesh::cli::test
