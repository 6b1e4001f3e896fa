// Our own BIRD: started detached, adopted when we return, spoken to over its control socket.
//
// In the run directory: bird.conf (what it runs, with its identity), bird.conf.new (a candidate
// that is not final), bird.conf.check (one that BIRD is asked about), bird/ (owned by BIRD's user:
// bird.ctl, bird.pid). A configuration is final when BIRD confirmed it and the candidate was renamed
// to bird.conf; while a candidate runs that this process did not make, what runs counts as unknown.
// What is not confirmed is taken back by BIRD itself, to what it ran just before: after two
// candidates in a row, to the first. BIRD is never restarted while it lives:
// that costs a site 1.8 s, `configure` costs nothing.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>
#include <vector>

#include "nodes/dataplane/bird_text.h"
#include "nodes/dataplane/files.h"

namespace mesh {

/// One connection to a control socket.
class BirdControl {
 public:
  /// Errors: not_found (nobody listens), timeout, io.
  static Result<BirdControl> connect(const std::string& path, std::chrono::milliseconds patience);
  /// A reply of any code. Errors: timeout, io; the connection is then of no more use.
  Result<BirdReply> command(std::string_view command);
  /// Waits until the other side has closed. Errors: timeout.
  Status wait_for_end();

 private:
  explicit BirdControl(Fd fd) : fd_(std::move(fd)) {}
  Result<BirdReply> read_reply();
  Fd fd_;
  BirdReplyReader reader_;
};

class BirdDaemon {
 public:
  struct Options {
    std::filesystem::path run_directory;
    std::string user =
        "bird";  // it drops root for this user, when there is one; empty = stays what we are
    std::chrono::seconds confirm_timeout{60};
    std::chrono::milliseconds patience{10'000};  // for one reply
  };
  struct State {
    bool running = false;
    std::string text;  // what it runs; empty when unknown or not final
    std::string file;  // what bird.conf holds, without its last line where that is its identity
  };

  explicit BirdDaemon(Options options) : options_(std::move(options)) {}

  /// Errors: timeout (it lives, but does not answer), io.
  Result<State> observe();
  /// Whether configure() would take `text`; what runs goes on. Errors: as configure().
  Status check(const std::string& text) const;
  /// Runs `text`, until confirm() only for `confirm_timeout`. Starts BIRD when there is none; what
  /// was started is final at once. Errors: invalid (BIRD refuses the text, "bird.conf:LINE:COLUMN
  /// why"; what ran goes on), conflict (another BIRD routes here), unavailable (bird is not
  /// installed), timeout, io.
  Status configure(const std::string& text);
  /// Makes it final. Errors: timeout (it came too late, BIRD went back by itself), io.
  Status confirm();
  /// Back to what ran before configure(). Nothing to take back = success.
  Status cancel();
  /// Ends BIRD, which removes its routes, and removes its files. Not running = success. Errors:
  /// timeout, io.
  Status stop();

  /// Switches a protocol on that somebody disabled. Errors: not_found (it does not run), io.
  Status enable(const std::string& protocol);

  struct Sessions {
    bool running = false;
    std::string version;  // "2.0.12"
    std::vector<BgpSession> bgp;
    std::vector<BfdSession> bfd;
  };
  Result<Sessions> sessions();
  /// Every network that `protocols` tell is told by another protocol too. Errors: not_found (not
  /// running), timeout, io.
  Result<bool> others_tell_all_of(const std::vector<std::string>& protocols);

  /// A connection of its own for questions. Errors: not_found (it does not run), timeout, io.
  Result<BirdControl> connect() const {
    return BirdControl::connect(control_path(), options_.patience);
  }
  std::string control_path() const { return options_.run_directory / "bird" / "bird.ctl"; }

 private:
  std::filesystem::path final_file() const { return options_.run_directory / "bird.conf"; }
  std::filesystem::path candidate_file() const { return options_.run_directory / "bird.conf.new"; }
  std::filesystem::path checked_file() const { return options_.run_directory / "bird.conf.check"; }
  Result<std::string> running_identity(BirdControl& control) const;
  Status start(const std::string& text);
  Status check_file(const std::string& program, const std::filesystem::path& file) const;
  Status check_alone() const;
  Status launch(const std::string& program) const;
  Status make_room() const;
  Status reconfigure(BirdControl& control, const std::string& text);
  Status wait_until_reconfigured(BirdControl& control) const;

  Options options_;
  bool unconfirmed_ = false;  // bird.conf.new runs, and this process made it so
};

}  // namespace mesh
