//! The tree over all heads, hashed as RFC 6962 says: leaves and nodes can never be taken for each other.
//!
//! A leaf is a line of the heads file, without its line feed. The root is computed in one pass with
//! the memory of a logarithm, and equals that of a tree built from the top.

use sha2::{Digest, Sha256};

/// A tree that grows leaf by leaf.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    size: u64,
    /// Roots of the full subtrees on the left, the largest first, each with its number of leaves.
    peaks: Vec<(u64, [u8; 32])>,
}

impl Tree {
    /// Adds a leaf.
    pub fn push(&mut self, leaf: &[u8]) {
        let mut node = (1, hash(0, &[leaf]));
        while let Some(&(leaves, left)) = self.peaks.last()
            && leaves == node.0
        {
            node = (leaves * 2, hash(1, &[&left, &node.1]));
            self.peaks.pop();
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// How many leaves there are.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root over all leaves; of none, the hash of nothing.
    pub fn root(&self) -> [u8; 32] {
        let mut peaks = self.peaks.iter().rev().map(|(_, hash)| *hash);
        let Some(last) = peaks.next() else { return Sha256::digest([]).into() };
        peaks.fold(last, |right, left| hash(1, &[&left, &right]))
    }
}

fn hash(prefix: u8, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update([prefix]);
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(leaves: &[&[u8]]) -> String {
        let mut tree = Tree::default();
        leaves.iter().for_each(|leaf| tree.push(leaf));
        hex::encode(tree.root())
    }

    #[test]
    fn roots_are_those_of_the_reference_tree() {
        // The test tree that implementations of certificate transparency share.
        let leaves: [&[u8]; 8] = [
            b"",
            &[0x00],
            &[0x10],
            &[0x20, 0x21],
            &[0x30, 0x31],
            &[0x40, 0x41, 0x42, 0x43],
            &[0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56, 0x57],
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let expected = [
            (0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
            (2, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
            (3, "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
            (7, "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
            (8, "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
        ];
        for (count, hash) in expected {
            assert_eq!(root(&leaves[..count]), hash, "{count} leaves");
        }
    }
}
