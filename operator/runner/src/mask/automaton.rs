//! Aho-Corasick over patterns without line breaks, with the depth of each state, which says how much must be held back.

/// No node.
const NONE: u32 = u32::MAX;
/// Where every search starts.
pub(super) const ROOT: u32 = 0;

#[derive(Debug, Clone, Copy)]
struct Node {
    byte: u8,
    depth: u16,
    /// Length of the longest pattern that ends here; 0 = none.
    found: u16,
    /// How many of the bytes after a pattern that ends here belong to the same secret.
    following: u16,
    child: u32,
    sibling: u32,
    fail: u32,
}

/// Collects patterns.
#[derive(Debug)]
pub(super) struct Builder {
    nodes: Vec<Node>,
}

/// Finds patterns in a stream of bytes.
#[derive(Debug)]
pub(super) struct Automaton {
    nodes: Vec<Node>,
    /// Successors of the root, by byte: most bytes of ordinary output need one look.
    root: [u32; 256],
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            nodes: vec![Node {
                byte: 0,
                depth: 0,
                found: 0,
                following: 0,
                child: NONE,
                sibling: NONE,
                fail: ROOT,
            }],
        }
    }
}

impl Builder {
    /// Adds a pattern; it must hold no line breaks and at most `u16::MAX` bytes.
    pub(super) fn add(&mut self, pattern: &[u8]) {
        self.add_beginning(pattern, 0);
    }

    /// Adds a pattern after which `following` more bytes belong to the secret, whatever they are.
    pub(super) fn add_beginning(&mut self, pattern: &[u8], following: u16) {
        let mut at = ROOT;
        for &byte in pattern {
            at = match find(&self.nodes, at, byte) {
                Some(next) => next,
                None => self.grow(at, byte),
            };
        }
        let node = &mut self.nodes[at as usize];
        node.found = node.depth;
        node.following = node.following.max(following);
    }

    fn grow(&mut self, at: u32, byte: u8) -> u32 {
        let Ok(next) = u32::try_from(self.nodes.len()) else {
            return at;
        };
        let parent = &mut self.nodes[at as usize];
        let node = Node {
            byte,
            depth: parent.depth + 1,
            found: 0,
            following: 0,
            child: NONE,
            sibling: std::mem::replace(&mut parent.child, next),
            fail: ROOT,
        };
        self.nodes.push(node);
        next
    }

    pub(super) fn build(self) -> Automaton {
        let mut nodes = self.nodes;
        let mut root = [ROOT; 256];
        let mut queue = std::collections::VecDeque::new();
        let mut child = nodes[ROOT as usize].child;
        while child != NONE {
            let node = nodes[child as usize];
            root[usize::from(node.byte)] = child;
            queue.push_back(child);
            child = node.sibling;
        }
        while let Some(at) = queue.pop_front() {
            let fail = nodes[at as usize].fail;
            let Node { found, following, .. } = nodes[fail as usize];
            let node = &mut nodes[at as usize];
            node.found = node.found.max(found);
            node.following = node.following.max(following);
            let mut child = node.child;
            while child != NONE {
                let Node { byte, sibling, .. } = nodes[child as usize];
                nodes[child as usize].fail = follow(&nodes, &root, fail, byte);
                queue.push_back(child);
                child = sibling;
            }
        }
        nodes.shrink_to_fit();
        Automaton { nodes, root }
    }
}

fn find(nodes: &[Node], at: u32, byte: u8) -> Option<u32> {
    let mut child = nodes[at as usize].child;
    while child != NONE {
        let node = &nodes[child as usize];
        if node.byte == byte {
            return Some(child);
        }
        child = node.sibling;
    }
    None
}

fn follow(nodes: &[Node], root: &[u32; 256], mut at: u32, byte: u8) -> u32 {
    while at != ROOT {
        if let Some(next) = find(nodes, at, byte) {
            return next;
        }
        at = nodes[at as usize].fail;
    }
    root[usize::from(byte)]
}

impl Automaton {
    /// The state after one more byte.
    pub(super) fn next(&self, state: u32, byte: u8) -> u32 {
        follow(&self.nodes, &self.root, state, byte)
    }

    /// Length of the longest pattern that ends in this state.
    pub(super) fn found(&self, state: u32) -> usize {
        usize::from(self.nodes[state as usize].found)
    }

    /// How many of the next bytes belong to what was found in this state.
    pub(super) fn following(&self, state: u32) -> usize {
        usize::from(self.nodes[state as usize].following)
    }

    /// How many of the last bytes may be the beginning of a pattern.
    pub(super) fn depth(&self, state: u32) -> usize {
        usize::from(self.nodes[state as usize].depth)
    }

    /// What it takes in memory.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.nodes.capacity() * size_of::<Node>()
    }

    /// Whether there is nothing to find.
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.len() == 1
    }
}
