// SimRouter: the kernel and the routing daemon of a simulated router. It outlives the program that
// drives it, and the program can die in the middle of driving it: then nothing more is asked of the
// router until the next program comes.
#pragma once

#include "nodes/dataplane/dry_run_dataplane.h"
#include "nodes/memory_files.h"

namespace mesh::sim {

class SimRouter final : public DryRunDataplane {
 public:
  /// Borrows both. A program that is dead by its disk is dead here too.
  SimRouter(const TunnelKeys& keys, MemoryFiles& files) : DryRunDataplane(keys), files_(files) {}

  /// The program dies in its `call`-th change of the router from now (1 = the next), which is still
  /// `done` or not. 0 = never.
  void die_at(uint64_t call, bool done) {
    die_at_ = call == 0 ? 0 : calls_ + call;
    done_ = done;
  }
  /// Changes that were asked for; the steps of die_at().
  uint64_t calls() const { return calls_; }

  Result<Observed> observe(const Desired& wanted) override {
    if (files_.dead()) return gone();
    return DryRunDataplane::observe(wanted);
  }
  Status execute(const Action& action) override {
    return change([&] { return DryRunDataplane::execute(action); });
  }
  Status confirm() override {
    return change([&] { return DryRunDataplane::confirm(); });
  }
  Status cancel() override {
    return change([&] { return DryRunDataplane::cancel(); });
  }
  Status remove_all() override {
    return change([&] { return DryRunDataplane::remove_all(); });
  }

 private:
  static std::unexpected<Error> gone() { return fail(Errc::io, "the program is dead"); }

  template <class Change>
  Status change(Change act) {
    if (files_.dead()) return gone();
    if (++calls_ != die_at_) return act();
    if (done_) (void)act();  // nobody is left to hear of an error
    files_.die();
    return gone();
  }

  MemoryFiles& files_;
  uint64_t calls_ = 0, die_at_ = 0;
  bool done_ = false;
};

}  // namespace mesh::sim
