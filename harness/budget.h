// What a run will take, roughly, and how its time is shared by blocks.
//
// Predictions come from the work of a cell and a usual speed, so that they are known before
// anything is measured; they may be off by a factor of two or three. Loading models is not in them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "harness/block.h"
#include "harness/cell.h"

namespace tritbench {

// What a cell adds to the progress of a run: proof, repetitions, proof.
uint64_t progress_steps(const Cell& cell);

// Seconds that a block takes with the cells' repetitions, its control included where the options
// have one.
double predicted_block_s(const std::vector<Cell>& cells, const Members& block,
                         const MeasureOptions& options);

// "52 cells in 9 blocks, about 3m20s with the repetitions asked; precision 1%: ...": one line.
// Cells that are unavailable are not counted.
std::string plan_text(const std::vector<Cell>& cells, const MeasureOptions& options);

// "1%", "0.5%" as a share, above 0 and at most 50%. Throws Error naming `where`.
double parse_precision(const std::string& text, const std::string& where);

// Deadlines of the blocks of a run, in their order. What is left of the budget goes to the blocks
// that are left as their predicted times are: what one does not use, the later ones get.
class BudgetShares {
  public:
    BudgetShares(const std::vector<Cell>& cells, const std::vector<Members>& blocks,
                 const MeasureOptions& options, int64_t begin_ns);

    // Of the next block, which begins now; 0: there is no budget.
    int64_t next_deadline(int64_t now_ns);

  private:
    std::vector<double> predicted_s_;
    size_t next_ = 0;
    int64_t end_ns_ = 0;
};

}  // namespace tritbench
