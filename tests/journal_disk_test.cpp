// What a journal promises about the disk: the order in which things reach it, what is left when it
// is full, and that rows which were superseded are moved and never lost or doubled.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "harness/journal.h"
#include "kernels/api/error.h"
#include "tests/temporary_folder.h"

namespace {

// Every fsync of this process, as "name of the file:its bytes", while somebody wants to know.
std::vector<std::string>* g_syncs = nullptr;

}  // namespace

// In place of the C library's.
extern "C" int fsync(int fd) {
    if (g_syncs != nullptr) {
        char path[4096];
        const std::string link = "/proc/self/fd/" + std::to_string(fd);
        const ssize_t length = readlink(link.c_str(), path, sizeof path);
        const off_t bytes = lseek(fd, 0, SEEK_END);
        const std::filesystem::path name(
            std::string(path, static_cast<size_t>(std::max<ssize_t>(length, 0))));
        g_syncs->push_back(name.filename().string() + ":" + std::to_string(bytes));
    }
    return static_cast<int>(syscall(SYS_fsync, fd));
}

namespace tritbench {
namespace {

using Keys = std::vector<std::string>;

class JournalDisk : public testing::Test {
  protected:
    JournalRequest request() const {
        return {folder / "r.csv", "test", "abc", false, {{"machine_id", "here"}}, false};
    }
    static Row row(const std::string& key) {
        Row r;
        r.set(Column::SchemaVersion, kSchemaVersion);
        r.set(Column::CellKey, key);
        r.set(Column::Status, "ok");
        return r;
    }
    void write_three() const {
        Journal journal(request());
        for (const char* key : {"k1", "k2", "k3"}) {
            journal.append(row(key), std::vector<double>{1, 2.5, 1.0 / 3});
        }
    }
    std::string text(const std::string& name) const { return TemporaryFolder::read(folder / name); }
    Keys rows(const std::string& name = "r.csv") const {
        Keys found;
        for (const Row& r : read_result_file(folder / name)) found.push_back(r[Column::CellKey]);
        return found;
    }
    Keys samples(const std::string& name = "r.samples.jsonl") const {
        Keys found;
        std::ifstream file(folder / name);
        for (std::string line; std::getline(file, line);) {
            found.push_back(nlohmann::json::parse(line).at("cell_key"));
        }
        return found;
    }
    static std::string refusal(const JournalRequest& r) {
        try {
            Journal journal(r);
        } catch (const Error& e) {
            return e.what();
        }
        return "";
    }
    TemporaryFolder folder;
};

// A row is never on the disk without its samples, nor `append` over before both are.
TEST_F(JournalDisk, SamplesReachTheDiskBeforeTheirRow) {
    Journal journal(request());
    std::vector<std::string> syncs;
    const size_t rows_before = text("r.csv").size();
    g_syncs = &syncs;
    journal.append(row("k1"), std::vector<double>{1, 2, 3});
    g_syncs = nullptr;
    const size_t samples_now = text("r.samples.jsonl").size(), rows_now = text("r.csv").size();
    EXPECT_GT(rows_now, rows_before);
    EXPECT_EQ(syncs, (std::vector<std::string>{"r.samples.jsonl:" + std::to_string(samples_now),
                                               "r.csv:" + std::to_string(rows_now)}));
}

// The limit of file sizes stands for a full disk: a write takes a part of a line, the next none.
class SmallDisk {
  public:
    explicit SmallDisk(rlim_t bytes) : handler_(signal(SIGXFSZ, SIG_IGN)) {
        getrlimit(RLIMIT_FSIZE, &before_);
        const rlimit small{bytes, before_.rlim_max};
        setrlimit(RLIMIT_FSIZE, &small);
    }
    ~SmallDisk() {
        setrlimit(RLIMIT_FSIZE, &before_);
        signal(SIGXFSZ, handler_);
    }
    SmallDisk(const SmallDisk&) = delete;
    SmallDisk& operator=(const SmallDisk&) = delete;

  private:
    rlimit before_{};
    void (*handler_)(int);
};

TEST_F(JournalDisk, ARowThatDoesNotFitTheDiskLeavesNoPartOfItself) {
    Journal journal(request());
    journal.append(row("k1"), std::vector<double>{1, 2, 3});
    const std::string before = text("r.csv");
    for (size_t part = 0; part < csv_line(row("k2")).size(); part += 5) {
        const SmallDisk full(before.size() + part);
        try {
            journal.append(row("k2"), std::vector<double>{4});
            ADD_FAILURE() << "written with room for " << part;
        } catch (const Error& e) {
            const std::string message = e.what();
            EXPECT_NE(message.find("r.csv: cannot be written"), std::string::npos) << message;
            EXPECT_NE(message.find("rows before it are kept"), std::string::npos) << message;
        }
        EXPECT_EQ(text("r.csv"), before) << part;
    }
    journal.append(row("k2"), std::vector<double>{5});
    EXPECT_EQ(rows(), (Keys{"k1", "k2"}));
    EXPECT_EQ(samples(), (Keys{"k1", "k2"}));
}

// No row without its samples, even where the row would still fit.
TEST_F(JournalDisk, SamplesThatDoNotFitTheDiskTakeTheirRowAlong) {
    {
        Journal journal(request());
        journal.append(row("k1"), std::vector<double>{1, 2, 3});
        const SmallDisk full(text("r.csv").size() + 1000);
        EXPECT_THROW(journal.append(row("k2"), std::vector<double>(5000, 0.1)), Error);
        EXPECT_EQ(samples(), Keys{"k1"});
        EXPECT_EQ(rows(), Keys{"k1"});
    }
    Journal again(request());
    again.append(row("k2"), std::vector<double>(5000, 0.1));
    EXPECT_EQ(rows(), (Keys{"k1", "k2"}));
    EXPECT_EQ(samples(), (Keys{"k1", "k2"}));
}

TEST_F(JournalDisk, AFileThatCannotBeBegunIsNotBegun) {
    {
        const SmallDisk full(10);
        EXPECT_NE(refusal(request()).find("cannot be written"), std::string::npos);
    }
    EXPECT_FALSE(std::filesystem::exists(folder / "r.csv"));
    EXPECT_FALSE(std::filesystem::exists(folder / "r.state.json.partial"));
    Journal journal(request());
    EXPECT_FALSE(journal.resumed());
}

TEST_F(JournalDisk, RowsThatAreNotAskedForMoveWithTheirSamples) {
    write_three();
    const std::string all_rows = text("r.csv"), all_samples = text("r.samples.jsonl");
    {
        Journal journal(request());
        EXPECT_EQ(journal.supersede_all_but({"k1", "k2", "k3", "k4"}), 0U);
        EXPECT_EQ(text("r.csv"), all_rows);
        EXPECT_FALSE(std::filesystem::exists(journal.superseded_path()));
        EXPECT_EQ(journal.supersede_all_but({"k1", "k3", "k4"}), 1U);
        EXPECT_FALSE(journal.has("k2"));
        EXPECT_EQ(journal.finished().size(), 2U);
        EXPECT_EQ(journal.samples_of("k3"), (std::vector<double>{1, 2.5, 1.0 / 3}));
        EXPECT_TRUE(journal.samples_of("k2").empty());
        journal.append(row("k4"), std::vector<double>{7});
        // The lock went over to the file that has the name now.
        EXPECT_NE(refusal(request()).find("another tritbench"), std::string::npos);
    }
    EXPECT_EQ(rows(), (Keys{"k1", "k3", "k4"}));
    EXPECT_EQ(samples(), (Keys{"k1", "k3", "k4"}));
    EXPECT_EQ(rows("r.superseded.csv"), Keys{"k2"});
    EXPECT_EQ(samples("r.superseded.samples.jsonl"), Keys{"k2"});
    // Not a byte of what moved has changed.
    EXPECT_NE(all_rows.find(text("r.superseded.csv").substr(csv_header().size())),
              std::string::npos);
    EXPECT_NE(all_samples.find(text("r.superseded.samples.jsonl")), std::string::npos);
    // The next time adds to them.
    Journal journal(request());
    EXPECT_EQ(journal.supersede_all_but({"k3"}), 2U);
    EXPECT_EQ(rows("r.superseded.csv"), (Keys{"k2", "k1", "k4"}));
    EXPECT_EQ(samples("r.superseded.samples.jsonl"), (Keys{"k2", "k1", "k4"}));
    EXPECT_EQ(rows(), Keys{"k3"});
}

// Killed after any of its four steps and done again: as if it had been done once.
TEST_F(JournalDisk, SupersedingAgainAfterAKillDoublesNothing) {
    write_three();
    const std::string all_rows = text("r.csv"), all_samples = text("r.samples.jsonl");
    {
        Journal journal(request());
        journal.supersede_all_but({"k3"});
    }
    const std::string kept_rows = text("r.csv"), kept_samples = text("r.samples.jsonl"),
                      moved_rows = text("r.superseded.csv"),
                      moved_samples = text("r.superseded.samples.jsonl");
    struct Killed {
        const char* after;
        bool rows_are_there, rows_are_gone;
    };
    for (const Killed& killed : {Killed{"moved samples", false, false},
                                 Killed{"moved rows", true, false}, Killed{"rows", true, true}}) {
        folder.write("r.samples.jsonl", all_samples);
        folder.write("r.csv", killed.rows_are_gone ? kept_rows : all_rows);
        if (!killed.rows_are_there) std::filesystem::remove(folder / "r.superseded.csv");
        Journal journal(request());
        journal.supersede_all_but({"k3"});
        EXPECT_EQ(text("r.csv"), kept_rows) << killed.after;
        EXPECT_EQ(text("r.samples.jsonl"), kept_samples) << killed.after;
        EXPECT_EQ(text("r.superseded.csv"), moved_rows) << killed.after;
        EXPECT_EQ(text("r.superseded.samples.jsonl"), moved_samples) << killed.after;
    }
}

TEST_F(JournalDisk, AFullDiskLosesNoSupersededRow) {
    write_three();
    const std::string all_rows = text("r.csv"), all_samples = text("r.samples.jsonl");
    {
        Journal journal(request());
        const SmallDisk full(csv_header().size() + 20);
        EXPECT_THROW(journal.supersede_all_but({"k3"}), Error);
    }
    EXPECT_EQ(text("r.csv"), all_rows);
    EXPECT_EQ(text("r.samples.jsonl"), all_samples);
    Journal journal(request());
    EXPECT_EQ(journal.supersede_all_but({"k3"}), 2U);
    EXPECT_EQ(rows("r.superseded.csv"), (Keys{"k1", "k2"}));
    EXPECT_EQ(samples("r.superseded.samples.jsonl"), (Keys{"k1", "k2"}));
}

TEST_F(JournalDisk, FreshTakesTheSupersededAlong) {
    write_three();
    {
        Journal journal(request());
        journal.supersede_all_but({"k3"});
    }
    JournalRequest fresh = request();
    fresh.fresh = true;
    const Journal journal(fresh);
    EXPECT_FALSE(std::filesystem::exists(folder / "r.superseded.csv"));
    EXPECT_FALSE(std::filesystem::exists(folder / "r.superseded.samples.jsonl"));
    size_t moved = 0;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
        moved += entry.path().string().find(".superseded.") != std::string::npos;
    }
    EXPECT_EQ(moved, 2U);
}

TEST_F(JournalDisk, ResumeTakesUpWhatIsCompleteOrOfAnEarlierText) {
    write_three();
    { Journal(request()).complete(); }
    JournalRequest wanted = request();
    wanted.spec_hash = "def";
    EXPECT_NE(refusal(wanted).find("--resume"), std::string::npos) << refusal(wanted);
    EXPECT_NE(refusal(request()).find("--resume"), std::string::npos) << refusal(request());
    wanted.resume = true;
    {
        Journal journal(wanted);
        EXPECT_TRUE(journal.resumed());
        EXPECT_EQ(journal.finished().size(), 3U);
        EXPECT_EQ(nlohmann::json::parse(text("r.state.json"))["complete"], false);
        journal.complete();
    }
    // From now on it is of the newer text.
    EXPECT_EQ(nlohmann::json::parse(text("r.state.json"))["spec_hash"], "def");
    wanted.spec = "another";
    EXPECT_NE(refusal(wanted).find("something else ('test')"), std::string::npos);
}

TEST_F(JournalDisk, RowsOfAnotherMachineAreRefused) {
    write_three();
    for (const bool resume : {false, true}) {
        JournalRequest elsewhere = request();
        elsewhere.resume = resume;
        elsewhere.machine_card = {{"machine_id", "there"}};
        EXPECT_NE(refusal(elsewhere).find("another machine (here, this is there)"),
                  std::string::npos)
            << refusal(elsewhere);
    }
    // A card that was lost is written again.
    const std::string card = text("r.machine.json");
    std::filesystem::remove(folder / "r.machine.json");
    { const Journal journal(request()); }
    EXPECT_EQ(text("r.machine.json"), card);
}

}  // namespace
}  // namespace tritbench
