#include "broker/render/render_process.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "broker/render/embedded.h"
#include "broker/render/template_renderer.h"
#include "eventstore/model/json_text.h"

namespace mesh {

using nlohmann::json;

namespace {

constexpr int64_t kStartMs = 30'000;  // Python on a slow disk under load
constexpr size_t kFrameMax = 256 * 1024 * 1024;

std::string prefix(size_t size) {
  std::string out;
  for (int shift : {24, 16, 8, 0}) out += static_cast<char>(size >> shift & 0xff);
  return out;
}

Error missing(const std::string& what) {
  return {Errc::unavailable, "templates cannot be rendered: " + what,
          "install python3 and python3-jinja2 on the controller"};
}

std::filesystem::path default_python() {
  const std::filesystem::path usual = "/usr/bin/python3";
  std::error_code ignored;
  return std::filesystem::exists(usual, ignored) ? usual : find_program("python3");
}

}  // namespace

Status RenderProcess::send(std::string_view body, int64_t deadline_ms) {
  MESH_TRY(child_->write(prefix(body.size()), deadline_ms));
  return child_->write(body, deadline_ms);
}

Result<std::string> RenderProcess::receive(int64_t deadline_ms) {
  auto fill = [&](size_t size) -> Status {
    while (buffer_.size() < size) {
      auto more = child_->read(deadline_ms);
      if (!more) return std::unexpected(more.error());
      if (more->empty()) return fail(Errc::unavailable, "the process that renders ended");
      buffer_ += *more;
    }
    return {};
  };
  MESH_TRY(fill(4));
  size_t size = 0;
  for (int i = 0; i < 4; ++i) size = size << 8 | static_cast<uint8_t>(buffer_[i]);
  if (size > kFrameMax) return fail(Errc::unavailable, "the process that renders sent nonsense");
  MESH_TRY(fill(4 + size));
  std::string out = buffer_.substr(4, size);
  buffer_.erase(0, 4 + size);
  return out;
}

Status RenderProcess::start() {
  if (child_) return {};
  const std::filesystem::path python = python_.empty() ? default_python() : python_;
  if (python.empty()) return std::unexpected(missing("there is no python3"));
  // The program comes through the socket too: a command line has a limit and is for everybody to read.
  constexpr std::string_view kLoader =
      "import os\n"
      "def read(n):\n"
      "  s=b''\n"
      "  while len(s)<n: s+=os.read(0,n-len(s)) or os._exit(1)\n"
      "  return s\n"
      "exec(compile(read(int.from_bytes(read(4),'big')),'render_worker','exec'),{'__name__':'render_worker'})\n";
  buffer_.clear();
  auto child = Child::start({python.string(), "-I", "-B", "-c", std::string(kLoader)}, false);
  if (!child) return std::unexpected(missing(child.error().message));
  child_ = std::move(*child);
  const json settings = {{"cpu_ms", limits_.cpu_ms},
                         {"memory", limits_.memory_bytes},
                         {"file", limits_.file_bytes},
                         {"output", limits_.output_bytes}};
  const int64_t deadline = monotonic_ms() + kStartMs;
  auto begun = [&]() -> Status {
    MESH_TRY(send(embedded("render_worker.py"), deadline));
    MESH_TRY(send(settings.dump(), deadline));
    auto answer = receive(deadline);
    if (!answer) return std::unexpected(answer.error());
    const json first = json::parse(*answer, nullptr, false);
    if (first.contains("ready") && first.contains("confined")) {
      confined_ = first["confined"] == true;
      return {};
    }
    const bool told = first.contains("missing") && first["missing"].is_string();
    return fail(Errc::unavailable,
                told ? first["missing"].get<std::string>() : "the process that renders sent nonsense");
  }();
  if (begun) return {};
  child_.reset();
  return std::unexpected(missing(fmt::format("{}: {}", python.string(), begun.error().message)));
}

namespace {

/// The last frame of a task: the files, or why there are none. Throws when it is neither.
Result<std::map<std::string, Bytes>> read_result(const json& frame, const std::string& file) {
  if (frame.contains("files")) {
    std::map<std::string, Bytes> out;
    for (const auto& [name, text] : frame["files"].items()) {
      const std::string& content = text.get_ref<const std::string&>();
      out.emplace(name, Bytes(content.begin(), content.end()));
    }
    return out;
  }
  constexpr size_t kMessageMax = 500;
  const json& error = frame.at("error");
  const int line = error.value("line", 0);
  const std::string message = error.value("message", "it cannot be rendered");
  return fail(Errc::invalid,
              fmt::format("{}{}: {}", error.value("file", file), line > 0 ? fmt::format(":{}", line) : std::string(),
                          message.substr(0, kMessageMax)),
              "correct the template");
}

}  // namespace

Result<std::map<std::string, Bytes>> RenderProcess::render(const std::string& variables,
                                                           const std::map<std::string, std::string_view>& sources) {
  MESH_TRY(start());
  std::string task = "{\"variables\":" + variables + ",\"sources\":{";
  for (const auto& [name, text] : sources) {
    if (task.back() != '{') task += ',';
    append_json_string(task, name);
    task += ':';
    append_json_string(task, text);
  }
  task += "}}";
  const int64_t deadline = monotonic_ms() + limits_.wall_ms;
  std::string file = "the templates";
  auto give_up = [&](const Error& why) {
    child_.reset();
    const std::string message =
        why.code == Errc::timeout ? fmt::format("it was ended after {} s", limits_.wall_ms / 1'000) : why.message;
    return fail(Errc::exhausted, fmt::format("{}: {}", file, message), "correct the template");
  };
  if (auto sent = send(task, deadline); !sent) return give_up(sent.error());
  for (;;) {
    auto answer = receive(deadline);
    if (!answer) return give_up(answer.error());
    try {
      const json frame = json::parse(*answer);
      if (frame.contains("file")) {
        file = frame.at("file").get<std::string>();
        continue;
      }
      auto out = read_result(frame, file);
      if (!out && frame.value("worn", false)) child_.reset();
      return out;
    } catch (const json::exception&) {
      return give_up({Errc::unavailable, "the process that renders sent nonsense", {}});
    }
  }
}

}  // namespace mesh
