#include "harness/journal.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernels/api/error.h"
#include "tests/temporary_folder.h"

namespace tritbench {
namespace {

class JournalTest : public testing::Test {
  protected:
    JournalRequest request(const std::string& hash = "abc", bool fresh = false) const {
        return {folder / "r.csv", "test", hash, fresh, {{"machine_id", "here"}}};
    }
    static Row row(const std::string& key) {
        Row r;
        r.set(Column::SchemaVersion, kSchemaVersion);
        r.set(Column::CellKey, key);
        r.set(Column::Status, "ok");
        return r;
    }
    static void append(Journal& journal, const std::string& key) {
        journal.append(row(key), std::vector<double>{1, 2, 3});
    }
    std::vector<std::string> keys() const {
        std::vector<std::string> found;
        for (const Row& r : read_result_file(folder / "r.csv")) {
            found.push_back(r[Column::CellKey]);
        }
        return found;
    }
    std::vector<std::string> sample_keys() const {
        std::vector<std::string> found;
        std::ifstream file(folder / "r.samples.jsonl");
        for (std::string line; std::getline(file, line);) {
            found.push_back(nlohmann::json::parse(line).at("cell_key"));
        }
        return found;
    }
    // What opening says; empty when it succeeds.
    static std::string refusal(const JournalRequest& r) {
        try {
            Journal journal(r);
        } catch (const Error& e) {
            return e.what();
        }
        return "";
    }
    void add_text(const std::string& name, const std::string& text) const {
        std::ofstream(folder / name, std::ios::app | std::ios::binary) << text;
    }
    using Keys = std::vector<std::string>;
    TemporaryFolder folder;
};

TEST_F(JournalTest, WritesHeaderRowsSamplesCardAndState) {
    {
        Journal journal(request());
        EXPECT_FALSE(journal.resumed());
        append(journal, "k1");
        // The row is in the file before the next begins.
        EXPECT_EQ(keys(), Keys{"k1"});
        append(journal, "k2");
        journal.complete();
    }
    EXPECT_TRUE(TemporaryFolder::read(folder / "r.csv").starts_with(csv_header()));
    EXPECT_EQ(keys(), (Keys{"k1", "k2"}));
    EXPECT_EQ(sample_keys(), (Keys{"k1", "k2"}));
    const auto card = nlohmann::json::parse(TemporaryFolder::read(folder / "r.machine.json"));
    EXPECT_EQ(card["machine_id"], "here");
    const auto state = nlohmann::json::parse(TemporaryFolder::read(folder / "r.state.json"));
    EXPECT_EQ(state["complete"], true);
    EXPECT_EQ(state["spec_hash"], "abc");
}

TEST_F(JournalTest, ResumesWithTheSameRunId) {
    std::string run_id;
    {
        Journal journal(request());
        run_id = journal.run_id();
        append(journal, "k1");
    }
    Journal journal(request());
    EXPECT_TRUE(journal.resumed());
    EXPECT_EQ(journal.run_id(), run_id);
    EXPECT_TRUE(journal.has("k1"));
    EXPECT_FALSE(journal.has("k2"));
    ASSERT_EQ(journal.finished().size(), 1U);
    append(journal, "k2");
    EXPECT_EQ(keys(), (Keys{"k1", "k2"}));
}

// A kill in the middle of a write leaves any prefix of the line: each must resume to whole rows.
TEST_F(JournalTest, ATornLastLineIsCutWhereverItTears) {
    {
        Journal journal(request());
        append(journal, "k1");
    }
    const std::string whole = TemporaryFolder::read(folder / "r.csv");
    const std::string line = csv_line(row("k2"));
    for (size_t cut = 1; cut < line.size(); ++cut) {
        folder.write("r.csv", whole + line.substr(0, cut));
        Journal journal(request());
        EXPECT_FALSE(journal.has("k2")) << cut;
        EXPECT_EQ(TemporaryFolder::read(folder / "r.csv"), whole) << cut;
    }
}

TEST_F(JournalTest, ATornHeaderBeginsAnew) {
    { Journal journal(request()); }
    for (const size_t cut : {size_t{0}, size_t{3}, size_t{40}, csv_header().size() - 1}) {
        folder.write("r.csv", csv_header().substr(0, cut));
        Journal journal(request());
        append(journal, "k1");
        EXPECT_EQ(keys(), Keys{"k1"}) << cut;
    }
}

TEST_F(JournalTest, SamplesWithoutARowAreDropped) {
    {
        Journal journal(request());
        append(journal, "k1");
    }
    add_text("r.samples.jsonl",
             "{\"run_id\":\"x\",\"cell_key\":\"k2\",\"samples_ns\":[1]}\n{\"run_");
    {
        Journal journal(request());
        append(journal, "k2");
    }
    EXPECT_EQ(sample_keys(), (Keys{"k1", "k2"}));
}

TEST_F(JournalTest, ACompleteFileIsNotTouched) {
    {
        Journal journal(request());
        append(journal, "k1");
        journal.complete();
    }
    const std::string before = TemporaryFolder::read(folder / "r.csv");
    EXPECT_NE(refusal(request()).find("is complete"), std::string::npos) << refusal(request());
    EXPECT_NE(refusal(request()).find("--fresh"), std::string::npos);
    EXPECT_EQ(TemporaryFolder::read(folder / "r.csv"), before);
}

TEST_F(JournalTest, FreshMovesTheOldFileAside) {
    {
        Journal journal(request());
        append(journal, "k1");
        journal.complete();
    }
    std::filesystem::path moved;
    {
        Journal journal(request("other", true));
        EXPECT_FALSE(journal.resumed());
        moved = journal.moved_to();
        append(journal, "k9");
    }
    EXPECT_EQ(keys(), Keys{"k9"});
    EXPECT_EQ(sample_keys(), Keys{"k9"});
    ASSERT_FALSE(moved.empty());
    const auto old = read_result_file(moved);
    ASSERT_EQ(old.size(), 1U);
    EXPECT_EQ(old[0][Column::CellKey], "k1");
    // A second time within the same second must not overwrite the first.
    { Journal journal(request("other", true)); }
    EXPECT_EQ(read_result_file(moved).size(), 1U);
}

TEST_F(JournalTest, AnotherSpecIsRefused) {
    {
        Journal journal(request());
        append(journal, "k1");
    }
    const std::string before = TemporaryFolder::read(folder / "r.csv");
    EXPECT_NE(refusal(request("different")).find("something else"), std::string::npos);
    EXPECT_EQ(TemporaryFolder::read(folder / "r.csv"), before);
}

TEST_F(JournalTest, ForeignFilesAreLeftUntouched) {
    for (const bool fresh : {false, true}) {
        folder.write("r.csv", "a,b\n1,2\n");
        EXPECT_NE(refusal(request("abc", fresh)).find("not a result file"), std::string::npos);
        EXPECT_EQ(TemporaryFolder::read(folder / "r.csv"), "a,b\n1,2\n");
        EXPECT_FALSE(std::filesystem::exists(folder / "r.state.json"));
    }
    const std::string newer = "schema_version,run_id,another_column\n99,x,y\n";
    folder.write("r.csv", newer);
    EXPECT_NE(refusal(request()).find("another schema version"), std::string::npos);
    EXPECT_EQ(TemporaryFolder::read(folder / "r.csv"), newer);
}

TEST_F(JournalTest, ARowOfOursWithoutItsStateIsRefused) {
    folder.write("r.csv", csv_header() + csv_line(row("k1")));
    EXPECT_NE(refusal(request()).find("cannot be resumed"), std::string::npos);
    folder.write("r.state.json", "{\"run_id\": 7");
    EXPECT_NE(refusal(request()).find("cannot be resumed"), std::string::npos);
    EXPECT_EQ(keys(), Keys{"k1"});
}

TEST_F(JournalTest, ADamagedMiddleLineIsNamed) {
    {
        Journal journal(request());
        append(journal, "k1");
    }
    add_text("r.csv", "not,a,row\n" + csv_line(row("k3")));
    EXPECT_NE(refusal(request()).find("r.csv:3"), std::string::npos) << refusal(request());
}

TEST_F(JournalTest, UnwritablePlacesAreRefusedAndNothingIsLeft) {
    JournalRequest r = request();
    r.csv = folder / "no/such/folder/r.csv";
    EXPECT_NE(refusal(r).find("cannot be written"), std::string::npos);
    r.csv = folder / "r.txt";
    EXPECT_NE(refusal(r).find(".csv"), std::string::npos);
    r.csv = folder / "taken.csv";
    std::filesystem::create_directory(r.csv);
    EXPECT_NE(refusal(r).find("cannot be written"), std::string::npos);
    std::filesystem::remove(r.csv);
    std::filesystem::create_directory(folder / "r.state.json");  // the state cannot be written
    EXPECT_NE(refusal(request()), "");
    EXPECT_FALSE(std::filesystem::exists(folder / "r.csv"));
}

TEST_F(JournalTest, TwoWritersAreRefused) {
    Journal first(request());
    append(first, "k1");
    const std::string words = "another tritbench (process " + std::to_string(getpid()) + ")";
    const pid_t child = fork();
    if (child == 0) {
        // Another open of the same file is another lock, also in one process.
        _exit(refusal(request()).find(words) != std::string::npos ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    append(first, "k2");
    EXPECT_EQ(keys(), (Keys{"k1", "k2"}));
}

}  // namespace
}  // namespace tritbench
