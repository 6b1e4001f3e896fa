#include "broker/meshd_frames.h"

#include <algorithm>
#include <atomic>
#include <memory>

namespace mesh::meshd {

namespace {

constexpr size_t kPieceFrames = 2;  // 90 us: nobody waits longer for the last one

/// Shared with helpers, which may begin only when everything is done already.
struct Work {
  std::vector<Bytes> frames;
  std::vector<std::optional<SignKey>> signers;
  std::vector<std::optional<Arrival>> read;
  std::atomic<size_t> next = 0, done = 0;

  /// Reads pieces that nobody else took, until there are none.
  void help() {
    for (size_t begin; (begin = next.fetch_add(kPieceFrames)) < frames.size();) {
      const size_t end = std::min(begin + kPieceFrames, frames.size());
      for (size_t i = begin; i < end; ++i) read[i] = read_frame(frames[i], signers[i]);
      if (done.fetch_add(end - begin) + end - begin == frames.size()) done.notify_all();
    }
  }

  void wait() const {
    for (size_t so_far; (so_far = done.load()) < frames.size();) done.wait(so_far);
  }
};

}  // namespace

std::vector<Arrival> FrameReader::read(std::vector<Incoming>& frames, const Signer& signer) {
  auto work = std::make_shared<Work>();
  size_t requests = 0;
  for (Incoming& incoming : frames) {
    work->frames.push_back(std::move(incoming.frame));
    work->signers.push_back(signer(incoming.session));
    requests += work->signers.back() ? 1 : 0;
  }
  work->read.resize(frames.size());
  pool_.finish();
  if (requests > kCheckedAlone)
    for (size_t i = std::min(helpers_, requests / kCheckedAlone); i > 0; --i)
      pool_.run([work] { work->help(); });
  work->help();
  work->wait();
  std::vector<Arrival> out;
  out.reserve(frames.size());
  for (auto& arrival : work->read) out.push_back(std::move(*arrival));
  return out;
}

}  // namespace mesh::meshd
