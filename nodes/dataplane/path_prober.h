// Sends what a PathSurvey asks, as ICMPv6 echo requests (RFC 4443) over the tunnels' link-local addresses, and hears
// the answers on a thread of its own: their time is when they came, not when the program, which may be busy with an
// apply, looked. Needs CAP_NET_RAW. One caller at a time.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "nodes/dataplane/files.h"
#include "nodes/dataplane/path_survey.h"

namespace mesh {

class PathProber {
 public:
  explicit PathProber(PathSurvey::Options options);
  ~PathProber();
  PathProber(const PathProber&) = delete;
  PathProber& operator=(const PathProber&) = delete;

  void watch(const std::vector<PathSurvey::Target>& targets);
  /// Takes what came and sends what is due. Never waits. The socket is made at the first packet, in the network
  /// namespace of the caller.
  void run();
  PathSurvey::Report report(int index) const;
  /// Why nothing is measured; empty when something is.
  const std::string& problem() const { return problem_; }

 private:
  bool open();
  void listen();
  void send(const PathSurvey::Packet& packet);

  const uint64_t number_;  // random: whose answers are ours
  PathSurvey survey_;
  std::string problem_;
  Fd socket_, end_;  // end_: readable when the thread shall end
  std::mutex mutex_;
  std::vector<PathSurvey::Answer> answers_;  // by the thread, under mutex_
  std::thread thread_;
};

}  // namespace mesh
