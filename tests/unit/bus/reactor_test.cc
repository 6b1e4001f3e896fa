// Claim: one thread hears frames, stop signals, finished jobs and ticks, and ends when its handler
// says so. Method: the real loop over a real bus; signals to this process; jobs that wait for each
// other.
#include "broker/bus/reactor.h"

#include <unistd.h>

#include <atomic>
#include <future>

#include "tests/unit/bus/bus_test.h"

namespace mesh::test {

using ReactorTest = Loopback;

TEST_F(ReactorTest, FramesJobsSignalsAndTicksMeetInOneThread) {
  StopSignals signals;
  start();
  Peer& peer = connect();
  struct Handler {
    BusServer& server;
    WorkerPool& pool;
    Peer& peer;
    std::thread::id thread = std::this_thread::get_id();
    size_t jobs = 0;
    int stopped = 0;
    bool asked = false;

    int tick() {
      EXPECT_EQ(std::this_thread::get_id(), thread);
      for (ClientEvent& event : peer.bus->poll(0)) peer.events.push_back(std::move(event));
      if (peer.bus->connected() && !asked) asked = peer.bus->send(as_bytes("compute")).has_value();
      return stopped != 0 ? kStopReactor : 1;
    }
    void handle(std::vector<Incoming> events) {
      for (Incoming& in : events) {
        auto result = std::make_shared<Bytes>();
        pool.run(
            [result, frame = std::move(in.frame), me = thread] {
              EXPECT_NE(std::this_thread::get_id(), me);
              *result = Bytes(frame.rbegin(), frame.rend());
            },
            [this, result, session = in.session] {
              EXPECT_EQ(std::this_thread::get_id(), thread);
              EXPECT_EQ(text(*result), "etupmoc");
              EXPECT_TRUE(server.send(session, *result));
              ++jobs;
              ::kill(::getpid(), SIGTERM);
            });
      }
    }
    void stop(int signal) { stopped = signal; }
  };
  WorkerPool pool(2, [&] { server->wake(); });
  Handler handler{*server, pool, peer};
  run_reactor(*server, signals, pool, handler);
  EXPECT_EQ(handler.stopped, SIGTERM);
  EXPECT_EQ(handler.jobs, 1u);
  EXPECT_EQ(pool.pending(), 0u);
}

TEST_F(ReactorTest, AClientRunsInTheSameLoop) {
  StopSignals signals;
  start();
  Answering answering(*server);
  Peer& peer = connect();
  struct Handler {
    bool connected = false;
    int tick() { return connected ? kStopReactor : 1'000; }
    void handle(std::vector<ClientEvent> events) {
      connected = events.front().kind == Kind::connected;
    }
    void stop(int) {}
  } handler;
  WorkerPool pool(1, [&] { peer.bus->wake(); });
  run_reactor(*peer.bus, signals, pool, handler);
  EXPECT_TRUE(handler.connected);
}

TEST(WorkerPoolTest, JobsRunInOrderOnOneThreadAndAtOnceOnTwo) {
  std::atomic<int> woken = 0;
  WorkerPool one(1, [&] {
    ++woken;
    woken.notify_all();
  });
  std::vector<int> order;
  for (int i = 0; i < 100; ++i) one.run([&order, i] { order.push_back(i); });
  EXPECT_EQ(one.pending(), 100u);
  while (one.pending() > 0) {
    const int seen = woken;
    if (one.finish() == 0) woken.wait(seen);
  }
  ASSERT_EQ(order.size(), 100u);
  EXPECT_TRUE(std::ranges::is_sorted(order));

  WorkerPool two(2, [] {});
  std::promise<void> from_first, from_second;
  std::promise<void> both;
  two.run([&] {
    from_first.set_value();
    from_second.get_future().wait();
    both.set_value();
  });
  two.run([&] {
    from_first.get_future().wait();
    from_second.set_value();
  });
  EXPECT_EQ(both.get_future().wait_for(std::chrono::seconds(30)), std::future_status::ready);
}

TEST(WorkerPoolTest, DestructionWaitsForTheRunningJob) {
  std::promise<void> started, go;
  bool ended = false;
  std::jthread later;
  {
    WorkerPool pool(1, [] {});
    pool.run([&] {
      started.set_value();
      go.get_future().wait();
      ended = true;
    });
    started.get_future().wait();
    later = std::jthread([&] { go.set_value(); });
  }
  EXPECT_TRUE(ended);
}

}  // namespace mesh::test
