#include "harness/sweep.h"

#include <fmt/format.h>

#include <memory>
#include <set>

#include "harness/best_so_far.h"
#include "harness/budget.h"
#include "harness/kernel_cells.h"
#include "harness/logits_agreement.h"
#include "harness/measure.h"
#include "harness/model_cells.h"
#include "harness/progress.h"
#include "kernels/api/registry.h"

namespace tritbench {
namespace {

std::string_view status_of(ChildEnd end) {
    switch (end) {
        case ChildEnd::Crashed:
            return "crashed";
        case ChildEnd::TimedOut:
            return "timeout";
        default:
            return "error";
    }
}

class Runner {
  public:
    Runner(const std::vector<Cell>& cells, const RunOptions& options, Journal* journal)
        : cells_(cells), options_(options), block_options_(options.measure), journal_(journal) {
        const MachineCard card = machine_card();
        run_.machine_id = card.machine_id();
        run_.cpu = card.cpu_model;
        run_.seed = options.measure.seed;
        run_.run_id = utc_compact();
        if (journal_ != nullptr) {
            run_.run_id = journal_->run_id();
            result_.resumed = journal_->resumed();
            result_.moved_to = journal_->moved_to();
            result_.superseded = journal_->supersede_all_but(cell_keys(cells, run_));
            for (const Row& row : journal_->finished()) take_up(row);
        }
    }

    RunResult run() {
        Members todo = open_cells();
        uint64_t steps = 0;
        for (const size_t position : todo) steps += progress_steps(cells_[position]);
        if (options_.show_progress && !todo.empty()) {
            progress_ = std::make_unique<Progress>(options_.name, steps);
        }
        const int64_t begin = now_ns();
        const std::vector<Members> blocks =
            make_blocks(cells_, gate(todo), available_memory_bytes(), last_level_cache_bytes());
        BudgetShares shares(cells_, blocks, options_.measure, begin);
        for (const Members& block : blocks) {
            if (result_.interrupted) break;
            block_options_.deadline_ns = shares.next_deadline(now_ns());
            run_block(block);
        }
        if (!result_.interrupted && journal_) journal_->complete();
        if (progress_ && !result_.interrupted) {
            progress_->finish(fmt::format("{} rows", result_.rows.size()));
        }
        progress_.reset();
        return std::move(result_);
    }

  private:
    // A row that an earlier run finished.
    void take_up(const Row& row) {
        ++result_.by_status[row[Column::Status]];
        logits_.remember(row);
        best_.add(row);
        result_.rows.push_back(row);
        result_.samples.push_back(journal_->samples_of(row[Column::CellKey]));
    }

    // Cells without a row; those that cannot be measured here get theirs at once.
    Members open_cells() {
        Members todo;
        std::set<std::string> seen;
        for (size_t i = 0; i < cells_.size(); ++i) {
            const std::string key = cell_key(cells_[i], run_.machine_id, run_.seed);
            if (!seen.insert(key).second) continue;
            ++result_.cells;
            if (journal_ && journal_->has(key)) continue;
            if (cells_[i].unavailable.empty()) {
                todo.push_back(i);
            } else {
                finish(i, outcome_row("unavailable", cells_[i].unavailable), {});
            }
        }
        return todo;
    }

    // Puts every kernel and tile through the quick gate, each in a child; returns the cells of
    // those that pass. A kernel that is wrong anywhere is timed nowhere.
    Members gate(const Members& todo) {
        Members passed;
        for (const size_t position : todo) {
            Row verdict;
            for (const KernelUse& use : cells_[position].kernels) {
                verdict = verdict_of(use);
                if (result_.interrupted) return passed;
                if (!verdict[Column::Status].empty()) break;
            }
            if (verdict[Column::Status].empty()) {
                passed.push_back(position);
            } else {
                finish(position, verdict, {});
                done_steps_ += progress_steps(cells_[position]);
            }
        }
        return passed;
    }

    // Empty status: passed.
    const Row& verdict_of(const KernelUse& use) {
        const std::string name =
            fmt::format("{} {}", use.kernel->id, tile_name(*use.kernel, use.tile));
        if (!verdicts_.contains(name)) verdicts_[name] = gate_one(use);
        return verdicts_[name];
    }

    Row gate_one(const KernelUse& use) {
        ProofResult proof{Proof::No, "the gate gave no answer"};
        ChildOptions child;
        child.begin_budget_s = options_.gate_timeout_s;
        child.on_tick = [&](int, uint64_t) { show(0, fmt::format("proving {}", use.kernel->id)); };
        const ChildOutcome outcome = run_in_child(
            [&](ChildReporter& reporter) {
                const ProofResult found = quick_gate(*use.kernel, use.tile);
                reporter.send({{"type", "gate"}, {"ok", found.ok()}, {"reason", found.reason}});
            },
            [&](const nlohmann::json& message) {
                proof = {message.at("ok").get<bool>() ? Proof::BitExact : Proof::No,
                         message.at("reason").get<std::string>()};
            },
            child);
        if (outcome.end == ChildEnd::Interrupted) {
            result_.interrupted = true;
            return {};
        }
        if (outcome.end != ChildEnd::Finished) {
            return outcome_row(status_of(outcome.end), "in the gate: " + outcome.reason);
        }
        return proof.ok() ? Row{} : failed_row("gate: " + proof.reason);
    }

    // Measures a block; a cell that ends its child is given its row and left out of the next try.
    void run_block(const Members& block) {
        std::set<size_t> open(block.begin(), block.end());
        uint64_t block_steps = 0;
        for (const size_t position : block) block_steps += progress_steps(cells_[position]);
        while (!open.empty()) {
            const Members members(open.begin(), open.end());
            const ChildOutcome outcome = measure(members, open);
            if (outcome.end == ChildEnd::Interrupted) {
                result_.interrupted = true;
                return;
            }
            if (open.empty()) break;
            std::string_view status = status_of(outcome.end);
            std::string reason = outcome.reason;
            const auto guilty = static_cast<size_t>(outcome.cell);
            if (outcome.end != ChildEnd::Finished && outcome.cell >= 0 && open.contains(guilty)) {
                finish(guilty, outcome_row(status, reason), {});
                open.erase(guilty);
                continue;
            }
            if (outcome.end == ChildEnd::Finished) reason = "the child reported no row";
            for (const size_t position : open) {
                finish(position, outcome_row(status, "outside of any cell: " + reason), {});
            }
            open.clear();
        }
        done_steps_ += block_steps;
    }

    ChildOutcome measure(const Members& members, std::set<size_t>& open) {
        ChildOptions child;
        child.begin_budget_s = 120;
        const auto label = [&](int cell, bool loading) -> std::string {
            if (cell < 0) return "read bandwidth";
            const Cell& current = cells_[static_cast<size_t>(cell)];
            return loading ? fmt::format("packing weights as {}", current.kernel().layout)
                           : cell_label(current);
        };
        child.on_tick = [&](int cell, uint64_t done) { show(done, label(cell, false)); };
        child.on_loading = [&](int cell, uint64_t done) { show(done, label(cell, true)); };
        return run_in_child(
            [&](ChildReporter& reporter) {
                if (cells_[members.front()].level == Level::Kernel) {
                    measure_kernel_block(cells_, members, block_options_, reporter);
                } else {
                    measure_model_block(cells_, members, block_options_, reporter);
                }
            },
            [&](const nlohmann::json& message) {
                const auto position = message.at("cell").get<size_t>();
                if (open.erase(position) == 0) return;
                finish(position, row_of_message(message), samples_of_message(message));
            },
            child);
    }

    void show(uint64_t steps_of_block, const std::string& note) {
        if (progress_) progress_->update(done_steps_ + steps_of_block, best_.beside(note));
    }

    void finish(size_t position, const Row& measured, const std::vector<double>& samples) {
        const Row identity = identity_row(cells_[position], run_);
        Row row = identity;
        row.merge(measured);
        const std::string problem = logits_.problem(row);
        if (!problem.empty()) {
            row = identity;
            row.merge(failed_row(problem));
        }
        logits_.remember(row);
        row.set(Column::Utc, utc_iso());
        result_.samples.push_back(problem.empty() ? samples : std::vector<double>{});
        if (journal_) journal_->append(row, result_.samples.back());
        ++result_.by_status[row[Column::Status]];
        best_.add(row);
        result_.rows.push_back(std::move(row));
    }

    const std::vector<Cell>& cells_;
    const RunOptions& options_;
    MeasureOptions block_options_;
    RunInfo run_;
    Journal* journal_;
    std::unique_ptr<Progress> progress_;
    BestSoFar best_;
    RunResult result_;
    std::map<std::string, Row> verdicts_;  // of the gate, by kernel and tile
    uint64_t done_steps_ = 0;
    LogitsAgreement logits_;
};

}  // namespace

int RunResult::exit_code() const {
    if (interrupted) return 130;
    for (const auto& [status, count] : by_status) {
        if (status != "ok" && status != "unavailable" && count > 0) return 1;
    }
    return 0;
}

std::unique_ptr<Journal> open_journal(const RunOptions& options) {
    if (!options.csv) return nullptr;
    return std::make_unique<Journal>(JournalRequest{*options.csv, options.name, options.spec_hash,
                                                    options.fresh, machine_card().json(),
                                                    options.resume});
}

RunResult run_cells(const std::vector<Cell>& cells, const RunOptions& options, Journal* journal) {
    return Runner(cells, options, journal).run();
}

}  // namespace tritbench
