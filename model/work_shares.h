// A parallel loop over numbered pieces that no slow worker holds up.
//
// Each worker has a share of consecutive pieces, the same in every loop of the same size, so that
// what it read last time may still be in its caches. Who is done early takes pieces of the others:
// on a machine that others use too, a thread may lose its CPU in the middle of a product.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "model/thread_pool.h"

namespace tritbench {

class WorkShares {
  public:
    // Allocates, for up to that many workers.
    void reserve(int workers) {
        if (workers <= room_) return;
        shares_ = std::make_unique<Share[]>(static_cast<size_t>(workers));
        room_ = workers;
    }

    // Before the workers begin.
    void begin(int64_t pieces, int workers) {
        for (int worker = 0; worker < workers; ++worker) {
            const auto [first, last] = split_range(pieces, 1, worker, workers);
            Share& share = shares_[static_cast<size_t>(worker)];
            share.next.store(first, std::memory_order_relaxed);
            share.end = last;
        }
    }

    // On every worker: body(piece), each piece once.
    template <class Body>
    void run(int worker, int workers, Body&& body) {
        for (int i = 0; i < workers; ++i) {
            Share& share = shares_[static_cast<size_t>((worker + i) % workers)];
            for (;;) {
                const int64_t piece = share.next.fetch_add(1, std::memory_order_relaxed);
                if (piece >= share.end) break;
                body(piece);
            }
        }
    }

    // The same for workers that ask: the next piece, of the worker's own share while there are any.
    // False when none is left.
    bool take(int worker, int workers, int64_t* piece) {
        for (int i = 0; i < workers; ++i) {
            Share& share = shares_[static_cast<size_t>((worker + i) % workers)];
            if (share.next.load(std::memory_order_relaxed) >= share.end) continue;
            *piece = share.next.fetch_add(1, std::memory_order_relaxed);
            if (*piece < share.end) return true;
        }
        return false;
    }

  private:
    struct alignas(64) Share {
        std::atomic<int64_t> next{0};
        int64_t end = 0;
    };
    std::unique_ptr<Share[]> shares_;
    int room_ = 0;
};

}  // namespace tritbench
